"""Post-training int8 quantization of a float ONNX, in numpy, by TFLite's rules; the result is QDQ ONNX.

    weights      symmetric per output channel, q in [-127, 127]
    activations  asymmetric per tensor, q in [-128, 127], the range widened to hold 0, zero representable exactly
    biases       int32 with scale s_input * s_weight

TFLite 8-bit quantization specification, https://ai.google.dev/edge/litert/models/quantization_spec. Pooling keeps its
input's quantization. An activation that is fused into a convolution has none of its own in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import ExportError

Floats = npt.NDArray[np.float32]

_QUANTIZED = ("Conv", "Gemm", "Add", "Mul", "Softmax", "HardSwish", "ReduceMean")
_FUSED = ("Relu", "Clip")
_TRANSPARENT = ("GlobalAveragePool", "AveragePool", "MaxPool", "Flatten", "Reshape")  # output quantized as the input


@dataclass(frozen=True, slots=True)
class Range:
    """Least and greatest value that a tensor took on the calibration images."""

    low: float
    high: float


def calibrate(float_onnx: bytes, images_nchw: Floats, batch_size: int = 64) -> dict[str, Range]:
    """Min/max of every activation tensor.

    Args:
        float_onnx: serialized model; its batch must be symbolic or equal to `batch_size`.
        images_nchw: model inputs, shape (n, 3, R, R).
    """
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper

    if not len(images_nchw):
        raise ExportError("calibration needs at least one image")
    model = onnx.load_from_string(float_onnx)
    names = [output for node in model.graph.node for output in node.output]
    del model.graph.output[:]
    model.graph.output.extend([helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names])
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = model.graph.input[0].name
    lows, highs = {image: float(images_nchw.min())}, {image: float(images_nchw.max())}
    for i in range(0, len(images_nchw), batch_size):
        for name, value in zip(names, session.run(names, {image: images_nchw[i : i + batch_size]}), strict=True):
            lows[name] = float(np.minimum(lows.get(name, np.inf), value.min()))  # unlike min(), keeps NaN
            highs[name] = float(np.maximum(highs.get(name, -np.inf), value.max()))
    return {name: Range(lows[name], highs[name]) for name in lows}


def activation_qparams(bounds: Range) -> tuple[np.float32, int]:
    """(scale, zero point) of an asymmetric int8 tensor; a range of (nearly) no width gets the scale 1/255."""
    low, high = min(bounds.low, 0.0), max(bounds.high, 0.0)
    if not np.isfinite([bounds.low, bounds.high]).all():
        raise ExportError(
            f"an activation range is [{bounds.low}, {bounds.high}]: the model computes "
            "infinities or NaN on the calibration images"
        )
    scale = np.float32((high - low) / 255)
    if scale < np.finfo(np.float32).tiny:
        scale = np.float32(1 / 255)
    return scale, int(np.clip(round(-128 - low / float(scale)), -128, 127))


def quantize_weights(weights: Floats, name: str, floor: Floats | float = 0.0) -> tuple[npt.NDArray[np.int8], Floats]:
    """(int8 weights, one scale per output channel) of weights whose first axis is the output channel.

    Args:
        floor: least scale of each channel, so that its bias fits int32.
    """
    if not np.isfinite(weights).all():
        raise ExportError(f"the weights '{name}' hold infinities or NaN")
    largest = np.abs(weights.reshape(len(weights), -1)).max(1)
    scales = np.maximum(np.where(largest > 0, largest, 1) / 127, floor).astype(np.float32)
    by_channel = scales.reshape(-1, *[1] * (weights.ndim - 1))
    return np.clip(np.rint(weights / by_channel), -127, 127).astype(np.int8), scales


def quantize(
    float_onnx: bytes, ranges: Mapping[str, Range], *, input_scale: float | None = None, input_zero_point: int = 0
) -> bytes:
    """QDQ ONNX of a float ONNX.

    Args:
        ranges: of every activation tensor, from `calibrate`.
        input_scale: fixes the input's quantization, so that a device needs no preprocessing; else it follows the range.
        input_zero_point: with `input_scale`.

    Raises:
        ExportError: an operator that is not among those known here, by its node.
    """
    import onnx

    model = onnx.load_from_string(float_onnx)
    writer = _QdqWriter(model, ranges)
    image = model.graph.input[0].name
    fixed = None if input_scale is None else (np.float32(input_scale), input_zero_point)
    writer.quantize_activation(image, fixed or activation_qparams(ranges[image]))
    for node in model.graph.node:
        writer.write(node)
    graph = onnx.helper.make_graph(
        writer.nodes, model.graph.name, list(model.graph.input), list(model.graph.output), writer.initializers
    )
    result = onnx.helper.make_model(
        graph, opset_imports=model.opset_import, producer_name="flatnas-deploy", ir_version=model.ir_version
    )
    onnx.helper.set_model_props(result, {p.key: p.value for p in model.metadata_props})
    onnx.checker.check_model(result, full_check=True)
    content: bytes = result.SerializeToString(deterministic=True)
    return content


class _QdqWriter:
    """Copies nodes one by one, quantizing weights, biases and outputs on the way."""

    def __init__(self, model: Any, ranges: Mapping[str, Range]) -> None:
        from onnx import numpy_helper

        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._ranges = ranges
        self._constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        self._output = model.graph.output[0].name
        self._readers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._qparams: dict[str, tuple[np.float32, int]] = {}  # by float tensor name
        self._names: dict[str, str] = {}  # float tensor name -> name of its dequantized value
        self._copied: set[str] = set()

    def quantize_activation(self, name: str, qparams: tuple[np.float32, int]) -> None:
        """Put QuantizeLinear and DequantizeLinear behind a tensor."""
        source = f"{name}_float" if name == self._output else name
        target = name if name == self._output else f"{name}_dequantized"
        scale, zero_point = (
            self._constant(f"{name}_scale", qparams[0]),
            self._constant(f"{name}_zero_point", np.int8(qparams[1])),
        )
        self._node("QuantizeLinear", [source, scale, zero_point], f"{name}_quantized")
        self._node("DequantizeLinear", [f"{name}_quantized", scale, zero_point], target)
        self._qparams[name], self._names[name] = qparams, target

    def write(self, node: Any) -> None:
        """Copy one float node."""
        if node.op_type not in (*_QUANTIZED, *_FUSED, *_TRANSPARENT):
            raise ExportError(
                f"node '{node.name}' is a {node.op_type}; "
                f"quantizable are {', '.join(sorted((*_QUANTIZED, *_FUSED, *_TRANSPARENT)))}"
            )
        output = node.output[0]
        copy = type(node)()
        copy.CopyFrom(node)
        copy.input[:] = list(self._inputs(node))
        if output == self._output:
            copy.output[0] = f"{output}_float"
        self.nodes.append(copy)
        readers = self._readers.get(output, [])
        if len(readers) == 1 and readers[0].op_type in _FUSED and node.op_type in ("Conv", "Gemm", "Add"):
            return  # the quantization comes after the fused activation
        same = node.op_type in _TRANSPARENT
        self.quantize_activation(output, self._qparams[node.input[0]] if same else self._own_qparams(node))

    def _own_qparams(self, node: Any) -> tuple[np.float32, int]:
        if node.op_type == "Softmax":
            return np.float32(1 / 256), -128  # fixed by the TFLite specification
        if node.output[0] not in self._ranges:
            raise ExportError(f"node '{node.name}': no calibrated range of '{node.output[0]}'")
        return activation_qparams(self._ranges[node.output[0]])

    def _inputs(self, node: Any) -> Iterator[str]:
        if node.op_type in ("Conv", "Gemm"):
            yield from self._weighted_inputs(node)
            return
        for name in node.input:
            if name in self._constants:
                yield self._constant(name, self._constants[name])
            else:
                yield self._names.get(name, name)

    def _weighted_inputs(self, node: Any) -> Iterator[str]:
        x, weight_name, *bias = node.input
        if weight_name not in self._constants:
            raise ExportError(f"node '{node.name}' ({node.op_type}): its weights are computed, not constant")
        weights = self._constants[weight_name].astype(np.float32)
        transposed = node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)
        if transposed:
            raise ExportError(f"node '{node.name}' (Gemm): only transB = 1 can be quantized")
        name = bias[0] if bias else f"{node.name}.bias"
        values = self._constants[name] if bias else np.zeros(len(weights), np.float32)
        floor = np.abs(values) / (2**30 * float(self._qparams[x][0]))
        q, scales = quantize_weights(weights, weight_name, floor)
        scale = self._constant(f"{weight_name}_scale", scales)
        zero = self._constant(f"{weight_name}_zero_point", np.zeros(len(scales), np.int8))
        yield self._names[x]
        inputs = [self._constant(f"{weight_name}_quantized", q), scale, zero]
        self._node("DequantizeLinear", inputs, weight_name, axis=0)
        yield weight_name
        bias_scales = self._qparams[x][0] * scales  # float32, as TFLite computes it
        steps = np.rint(values.astype(np.float64) / bias_scales)
        bias_scale = self._constant(f"{name}_scale", bias_scales)
        self._node(
            "DequantizeLinear", [self._constant(f"{name}_quantized", steps.astype(np.int32)), bias_scale], name, axis=0
        )
        yield name

    def _node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))

    def _constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        if name not in self._copied:
            self._copied.add(name)
            self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name
