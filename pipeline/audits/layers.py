"""Where an int8 model loses what the float model had: noise and saturation of each activation, clean and corrupted.

    SQNR = 10 log10( sum x^2 / sum (x - x_int8)^2 )   in dB, x the float model's activation on the same pictures

A value is saturated when it lies at an end of int8 that stands for a real number other than 0 (the lower end of a
ReLU's range is 0 itself, where nothing is lost): clipped calibration ranges show there, and so does a ReLU6's own 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from export.run.activations import (
    Activations,
    QuantizedTensor,
    onnx_activations,
    quantized_tensors,
    tflite_activations,
)
from export.run.runners import Runner
from flatnas.data.resize import resize
from pipeline.audits.result import LayerNoise
from pipeline.audits.subject import Subject

Pixels = npt.NDArray[np.uint8]
_BATCH = 32
_EXACT_DB = 200.0  # told of a tensor without any noise, such as the input


def layers_of_onnx(
    float_model: Subject, qdq_onnx: bytes, pictures: Mapping[str, Pixels], alive: Callable[[str], None]
) -> list[LayerNoise]:
    """Noise and saturation of each activation of a QDQ ONNX beside the float ONNX it was made from.

    Args:
        float_model: takes the same inputs.
        pictures: by corruption, `clean` among them; shape (n, H, W, 3) each.
        alive: hears of every few pictures, with their corruption.

    Raises:
        ExportError: the two are not of one network.
    """
    tensors = quantized_tensors(qdq_onnx)
    runner = float_model.load()
    floats = onnx_activations(float_model.content(), [tensor.name for tensor in tensors])
    integers = onnx_activations(qdq_onnx, [tensor.at for tensor in tensors])
    return _records(tensors, runner, integers, floats, pictures, alive)


def layers_of_tflite(model: Subject, pictures: Mapping[str, Pixels], alive: Callable[[str], None]) -> list[LayerNoise]:
    """Saturation of each activation of an int8 TFLite file; without its float model there is no noise to tell."""
    tensors, integers = tflite_activations(model.path)
    return _records(tensors, model.load(), integers, None, pictures, alive)


def _records(
    tensors: list[QuantizedTensor],
    runner: Runner,
    integers: Activations,
    floats: Activations | None,
    pictures: Mapping[str, Pixels],
    alive: Callable[[str], None],
) -> list[LayerNoise]:
    saturated: dict[str, npt.NDArray[np.float64]] = {}
    sqnr_db: dict[str, npt.NDArray[np.float64]] = {}
    for corruption, pixels in pictures.items():
        told = partial(alive, corruption)
        saturated[corruption], sqnr_db[corruption] = _measure(tensors, runner, integers, floats, pixels, told)
    return [
        LayerNoise(
            name=tensor.name,
            sqnr_db=None if floats is None else {c: float(values[i]) for c, values in sqnr_db.items()},
            saturated={c: float(values[i]) for c, values in saturated.items()},
        )
        for i, tensor in enumerate(tensors)
    ]


def _measure(
    tensors: list[QuantizedTensor],
    runner: Runner,
    integers: Activations,
    floats: Activations | None,
    pixels: Pixels,
    alive: Callable[[], None],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(share of saturated values, SQNR in dB) of each tensor."""
    signal, noise, at_end, values = np.zeros((4, len(tensors)))
    for start in range(0, len(pixels), _BATCH):
        x = runner.encode(resize(pixels[start : start + _BATCH], runner.resolution))
        quantized = integers(x)
        real = floats(x) if floats is not None else [None] * len(tensors)
        for i, (tensor, q, true) in enumerate(zip(tensors, quantized, real, strict=True)):
            at_end[i] += (q == 127).sum() + (0 if tensor.zero_point == -128 else (q == -128).sum())
            values[i] += q.size
            if true is not None:
                dequantized = tensor.scale * (q.astype(np.float64) - tensor.zero_point)
                signal[i] += np.square(true, dtype=np.float64).sum()
                noise[i] += np.square(true - dequantized).sum()
        alive()
    signal = np.maximum(signal, np.finfo(np.float32).tiny)
    return at_end / values, 10 * np.log10(signal / np.maximum(noise, signal * 10 ** (-_EXACT_DB / 10)))
