"""Post-training int8 quantization of a float ONNX, in numpy, by TFLite's rules; the result is QDQ ONNX.

    weights      symmetric per output channel, q in [-127, 127]
    activations  asymmetric per tensor, q in [-128, 127], the range widened to hold 0, zero representable exactly
    biases       int32 with scale s_input * s_weight

TFLite 8-bit quantization specification, https://ai.google.dev/edge/litert/models/quantization_spec. What only moves or
pools values (pooling, padding, flattening, concatenation) keeps their quantization, so its inputs and its output share
one. An activation that is fused into the operator before it has none of its own in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from export.graph import Array, ExportError
from export.observed import Range
from export.onnx_graph import OnnxGraph
from export.ops.accumulators import check_accumulator
from export.ops.operator import Quantization, Rule
from export.ops.table import ONNX
from export.passes.canonical import canonical

Float32Array = npt.NDArray[np.float32]


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


def quantize_weights(
    weights: Float32Array, name: str, floor: Float32Array | float = 0.0
) -> tuple[npt.NDArray[np.int8], Float32Array]:
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
        ExportError: an operator that is not among those known here, a tensor without a range, or arithmetic that int32
            can't hold, by its node.
    """
    fixed = None if input_scale is None else (np.float32(input_scale), input_zero_point)
    return quantize_graph(canonical(float_onnx), ranges, fixed)


def quantize_graph(graph: OnnxGraph, ranges: Mapping[str, Range], image: Quantization | None = None) -> bytes:
    """QDQ ONNX of a canonical float graph.

    Args:
        image: the input's quantization, where it is given.

    Raises:
        ExportError: as `quantize`.
    """
    for node in graph.nodes:
        if _rule(node) is None:
            known = sorted(name for name, form in ONNX.items() if form.quantized)
            raise ExportError(f"node '{node.name}' is a {node.op_type}; quantizable are {', '.join(known)}")
    fixed = {} if image is None else {graph.inputs[0].name: image}
    writer = _QdqWriter(graph, activation_quantization(graph, ranges, fixed))
    for node in graph.nodes:
        writer.write(node)
    return writer.finish()


def activation_quantization(
    graph: OnnxGraph, ranges: Mapping[str, Range], fixed: Mapping[str, Quantization]
) -> dict[str, Quantization]:
    """Scale and zero point of every activation tensor that has one, under the constraints between them.

    Args:
        graph: a canonical float graph.
        fixed: quantization that is given, by tensor.

    Raises:
        ExportError: a tensor without a range, or two fixed quantizations where the operator between needs one.
    """
    fixed = {**fixed, **{n.output[0]: rule for n in graph.nodes if isinstance(rule := _rule(n), tuple)}}
    quantization: dict[str, Quantization] = {}
    for group in sharing_groups(graph):
        given = {fixed[name] for name in group if name in fixed}
        if len(given) > 1:
            raise ExportError(f"{', '.join(sorted(group))} must share one quantization, and are fixed to several")
        if given:
            shared = given.pop()
        else:
            if missing := [name for name in group if name not in ranges]:
                raise ExportError(f"no calibrated range of '{missing[0]}'")
            low, high = min(ranges[n].low for n in group), max(ranges[n].high for n in group)
            try:
                shared = activation_qparams(Range(low, high))
            except ExportError as error:
                raise ExportError(f"tensor '{group[0]}': {error}") from error
        quantization.update(dict.fromkeys(group, shared))
    return quantization


def sharing_groups(graph: OnnxGraph) -> list[list[str]]:
    """The quantized activation tensors, those that must share a quantization together."""
    group_of: dict[str, list[str]] = {}

    def join(names: list[str]) -> None:
        merged: list[str] = []
        for name in names:
            merged += [n for n in group_of.get(name, [name]) if n not in merged]
        for name in merged:
            group_of[name] = merged

    join([graph.inputs[0].name])
    for node in graph.nodes:
        if is_fused(graph, node):
            continue
        read = [name for name in node.input if name in group_of] if _rule(node) == "shared" else []
        join([*read, node.output[0]])
    return list({id(group): group for group in group_of.values()}.values())


def is_fused(graph: OnnxGraph, node: Any) -> bool:
    """Whether a node's output goes into the clip behind it alone, and so is never stored."""
    reader = graph.only_reader(node.output[0])
    return reader is not None and _rule(reader) == "clip" and _rule(node) in ("weighted", "operands")


def _rule(node: Any) -> Rule | None:
    form = ONNX.get(node.op_type)
    return None if form is None else form.quantized


class _QdqWriter:
    """Copies nodes one by one, quantizing weights, biases and outputs on the way."""

    def __init__(self, graph: OnnxGraph, quantization: Mapping[str, Quantization]) -> None:
        self._graph = graph
        self._quantization = quantization
        self._nodes: list[Any] = []
        self._constants: dict[str, Array] = {}
        self._names: dict[str, str] = {}  # float tensor name -> name of its dequantized value
        self._quantize_activation(graph.inputs[0].name)

    def finish(self) -> bytes:
        """The QDQ model."""
        return replace(self._graph, nodes=self._nodes, constants=self._constants).serialize()

    def write(self, node: Any) -> None:
        """Copy one float node."""
        output = node.output[0]
        copy = type(node)()
        copy.CopyFrom(node)
        copy.input[:] = self._weighted_inputs(node) if _rule(node) == "weighted" else self._plain_inputs(node)
        if self._graph.is_output(output):
            copy.output[0] = f"{output}_float"
        self._nodes.append(copy)
        if not is_fused(self._graph, node):
            self._quantize_activation(output)

    def _quantize_activation(self, name: str) -> None:
        """Put QuantizeLinear and DequantizeLinear behind a tensor."""
        source, target = (f"{name}_float", name) if self._graph.is_output(name) else (name, f"{name}_dequantized")
        scale, zero_point = self._quantization[name]
        pair = [
            self._constant(f"{name}_scale", np.float32(scale)),
            self._constant(f"{name}_zero_point", np.int8(zero_point)),
        ]
        self._node("QuantizeLinear", [source, *pair], f"{name}_quantized")
        self._node("DequantizeLinear", [f"{name}_quantized", *pair], target)
        self._names[name] = target

    def _plain_inputs(self, node: Any) -> list[str]:
        inputs = []
        for name in node.input:
            value = self._graph.constants.get(name)
            if value is None:
                inputs.append(self._names.get(name, name))
            elif _rule(node) == "operands":
                inputs.append(self._constant_operand(node, name, value))
            else:
                inputs.append(self._constant(name, value))
        return inputs

    def _constant_operand(self, node: Any, name: str, value: Array) -> str:
        """The constant side of a sum or product: int8 over its own range."""
        scale, zero_point = activation_qparams(Range(float(value.min()), float(value.max())))
        steps = np.clip(np.rint(value / scale) + zero_point, -128, 127).astype(np.int8)
        target = f"{node.name}.{name}"
        inputs = [
            self._constant(f"{target}_quantized", steps),
            self._constant(f"{target}_scale", scale),
            self._constant(f"{target}_zero_point", np.int8(zero_point)),
        ]
        self._node("DequantizeLinear", inputs, target)
        return target

    def _weighted_inputs(self, node: Any) -> list[str]:
        x, weight_name = node.input[:2]
        weights, bias = self._graph.constant(node, 1), self._graph.constant(node, 2)
        if weights is None or (bias is None and len(node.input) > 2):
            raise ExportError(f"node '{node.name}' ({node.op_type}): its weights are computed, not constant")
        values = np.zeros(len(weights), np.float32) if bias is None else bias
        input_scale = self._quantization[x][0]
        floor = (np.abs(values) / (2**30 * float(input_scale))).astype(np.float32)
        q, scales = quantize_weights(weights.astype(np.float32), weight_name, floor)
        bias_scales = input_scale * scales  # float32, as TFLite computes it
        steps = np.rint(values.astype(np.float64) / bias_scales).astype(np.int64)
        written = self._graph.only_reader(node.output[0]) if is_fused(self._graph, node) else node
        multipliers = bias_scales.astype(np.float64) / float(self._quantization[written.output[0]][0])
        check_accumulator(f"node '{node.name}' ({node.op_type})", q, steps, multipliers)
        target, bias_target = f"{node.name}.weight_dequantized", f"{node.name}.bias_dequantized"
        inputs = [
            self._constant(f"{node.name}.weight_quantized", q),
            self._constant(f"{node.name}.weight_scale", scales),
            self._constant(f"{node.name}.weight_zero_point", np.zeros(len(scales), np.int8)),
        ]
        self._node("DequantizeLinear", inputs, target, axis=0)
        inputs = [
            self._constant(f"{node.name}.bias_quantized", steps.astype(np.int32)),
            self._constant(f"{node.name}.bias_scale", bias_scales),
        ]
        self._node("DequantizeLinear", inputs, bias_target, axis=0)
        return [self._names[x], target, bias_target]

    def _node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))

    def _constant(self, name: str, value: Any) -> str:
        self._constants[name] = np.asarray(value)
        return name
