"""What the activations of a float ONNX are on calibration images, and the ranges that follow from it.

    minmax        least and greatest value
    percentile-p  what is left when (100 - p) percent of the values are clipped at either end
    mse           the range, scaled down from minmax, whose int8 values have the least mean squared error

Percentiles and errors are taken over a sample of each tensor's values, the same number from each image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from export.graph import ExportError
from export.observed import Observation, Range
from export.onnx_graph import OnnxGraph
from export.passes.canonical import canonical
from export.quantize import Float32Array, activation_qparams

_SAMPLED = 512  # values of a tensor that are kept of each image
_BATCH = 16  # images of 32 x 32 whose activations are held at once: 64 of the largest MCU subnet take 0.6 GB more
_SHRINKS = np.linspace(1.0, 0.3, 36)


def minmax(observation: Observation) -> Range:
    """Clips nothing."""
    return observation.bounds


def percentile(percent: float) -> Callable[[Observation], Range]:
    """Clips (100 - percent) percent of the values at either end."""

    def rule(observation: Observation) -> Range:
        low, high = np.percentile(observation.values, (100 - percent, percent))
        return _within(observation.bounds, float(low), float(high))

    return rule


def mse(observation: Observation) -> Range:
    """The scaled-down range of least squared error."""
    bounds, values = observation.bounds, observation.values
    candidates = [_within(bounds, bounds.low * shrink, bounds.high * shrink) for shrink in _SHRINKS]
    return candidates[int(np.argmin([quantization_error(values, candidate) for candidate in candidates]))]


RULES: Mapping[str, Callable[[Observation], Range]] = {
    "minmax": minmax,
    "percentile-99.99": percentile(99.99),
    "percentile-99.9": percentile(99.9),
    "mse": mse,
}


def _within(bounds: Range, low: float, high: float) -> Range:
    """Never wider than what was seen, and holding zero if that did."""
    return Range(max(bounds.low, min(low, 0.0)), min(bounds.high, max(high, 0.0)))


def quantization_error(values: Float32Array, bounds: Range) -> float:
    """Mean squared difference between values and the nearest int8 values of a range."""
    scale, zero_point = activation_qparams(bounds)
    steps = np.clip(np.rint(values / scale) + zero_point, -128, 127)
    return float(np.mean((scale * (steps - zero_point) - values) ** 2, dtype=np.float64))


def calibrate(float_onnx: bytes, images_nchw: Float32Array, batch_size: int | None = None) -> dict[str, Range]:
    """Min/max of every activation tensor.

    Args:
        float_onnx: serialized model; its batch must be symbolic or equal to `batch_size`.
        images_nchw: model inputs, shape (n, 3, R, R).
        batch_size: images run at once; by default fewer the larger they are.

    Raises:
        ExportError: there is no image.
    """
    bounds: dict[str, Range] = {}
    for batch in _activations(canonical(float_onnx), images_nchw, batch_size):
        for name, value in batch.items():
            seen = Range(float(value.min()), float(value.max()))
            bounds[name] = _union([bounds.get(name, seen), seen])
    return bounds


def observe(
    graph: OnnxGraph, images_nchw: Float32Array, batch_size: int | None = None, seed: int = 0
) -> dict[str, Observation]:
    """Run a float graph and look at every activation tensor.

    Args:
        graph: canonical.
        images_nchw: model inputs, shape (n, C, R, R).
        batch_size: images run at once; by default fewer the larger they are.
        seed: of the choice of sampled values.

    Raises:
        ExportError: there is no image.
    """
    parts: dict[str, list[Observation]] = {}
    for batch in _activations(graph, images_nchw, batch_size):
        for name, value in batch.items():
            rng = np.random.default_rng([seed, len(parts.get(name, ()))])
            parts.setdefault(name, []).append(_summary(value, len(images_nchw), rng))
    return {name: _merge(of_batches) for name, of_batches in parts.items()}


def _activations(graph: OnnxGraph, images: Float32Array, batch_size: int | None) -> Iterator[dict[str, Float32Array]]:
    """Every activation tensor of one batch after the other."""
    from onnx import TensorProto, helper

    if not len(images):
        raise ExportError("calibration needs at least one image")
    height, width = images.shape[2:]
    step = batch_size or min(_BATCH, max(1, _BATCH * 32 * 32 // (height * width)))
    names = [output for node in graph.nodes for output in node.output]
    model = graph.to_model()
    del model.graph.output[:]
    model.graph.output.extend([helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names])
    run = session(model.SerializeToString())
    image = graph.inputs[0].name
    for i in range(0, len(images), step):
        batch = images[i : i + step]
        yield {image: batch, **dict(zip(names, run(names, {image: batch}), strict=True))}


def session(content: bytes) -> Callable[[list[str] | None, Mapping[str, Float32Array]], list[Float32Array]]:
    """An onnxruntime session's `run`.

    Raises:
        ExportError: onnxruntime can't load the model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        loaded = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise ExportError(f"onnxruntime can't load the model: {str(error).splitlines()[0]}") from error

    def run(names: list[str] | None, feeds: Mapping[str, Float32Array]) -> list[Float32Array]:
        result: list[Float32Array] = loaded.run(names, dict(feeds))
        return result

    return run


def _summary(value: Float32Array, images: int, rng: np.random.Generator) -> Observation:
    """Of one batch; its means are shares of those over all `images`."""
    rows = value.reshape(len(value), -1)
    if rows.shape[1] > _SAMPLED:
        rows = rows[:, rng.choice(rows.shape[1], _SAMPLED, replace=False)]
    others = tuple(axis for axis in range(value.ndim) if axis != 1)
    return Observation(
        bounds=Range(float(value.min()), float(value.max())),
        values=rows.ravel(),
        channel_largest=np.abs(value).max(others),
        channel_mean=value.mean(others, dtype=np.float64) * (len(value) / images),
    )


def _merge(parts: list[Observation]) -> Observation:
    return Observation(
        bounds=_union([p.bounds for p in parts]),
        values=np.sort(np.concatenate([p.values for p in parts])),
        channel_largest=np.max([p.channel_largest for p in parts], axis=0),
        channel_mean=np.sum([p.channel_mean for p in parts], axis=0),
    )


def _union(parts: list[Range]) -> Range:
    """What holds all of them; unlike with min(), NaN stays."""
    return Range(float(np.min([p.low for p in parts])), float(np.max([p.high for p in parts])))
