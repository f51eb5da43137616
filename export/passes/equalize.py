"""Cross-layer equalization: float weights rescaled so that the channels of an activation tensor have like ranges.

An activation has one scale for all its channels, so a channel that is a hundred times smaller than another has two or
three int8 values left. Where everything between the layers that write a tensor and those that read it is positively
homogeneous, f(t x) = t f(x), channel c may be divided by any t_c > 0 in the former and multiplied in the latter:

    t_c = sqrt(r_c / w_c) / geometric mean     r: range of the activation, w: range of the weights that read it

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, arXiv 1906.04721,
section 4.1, with activation ranges in place of weight ranges as in SmoothQuant (Xiao et al., ICML 2023, arXiv
2211.10438, equation 4): weights have a scale per output channel, which equalization costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from export.observed import Observation
from export.onnx_graph import OnnxGraph, attributes
from export.ops.table import ONNX
from export.passes.canonical import scale_layer

_Doubles = npt.NDArray[np.float64]
_MOST = 1e3  # largest factor: beyond, a channel that is nearly dead would be blown up


@dataclass(slots=True, eq=False)
class _Group:
    """Tensors whose channels must be scaled together, and the layers at their ends."""

    tensors: list[str] = field(default_factory=list)
    writers: list[Any] = field(default_factory=list)
    readers: list[Any] = field(default_factory=list)
    frozen: bool = False


def equalize(graph: OnnxGraph, observations: Mapping[str, Observation]) -> bool:
    """Rescale the weights of a canonical graph in place; what it computes stays.

    Args:
        observations: of the same graph, from `observe`.

    Returns:
        Whether anything could be rescaled.
    """
    groups = [group for group in _groups(graph) if not group.frozen and group.writers and group.readers]
    for group in groups:
        factors = _factors(graph, group, observations)
        for layer in group.writers:
            scale_layer(graph, layer, 1 / factors, np.zeros(1))
        for layer in group.readers:
            _scale_inputs(graph, layer, factors)
    return bool(groups)


def _groups(graph: OnnxGraph) -> list[_Group]:
    group_of: dict[str, _Group] = {}

    def group(name: str) -> _Group:
        return group_of.setdefault(name, _Group([name]))

    def join(a: str, b: str) -> None:
        kept, gone = group(a), group(b)
        if kept is gone:
            return
        for part in ("tensors", "writers", "readers"):
            getattr(kept, part).extend(getattr(gone, part))
        kept.frozen |= gone.frozen
        group_of.update(dict.fromkeys(gone.tensors, kept))

    group(graph.inputs[0].name).frozen = True
    for node in graph.nodes:
        activations, output = [name for name in node.input if name and name not in graph.constants], node.output[0]
        if ONNX[node.op_type].quantized == "weighted":
            group(activations[0]).readers.append(node)
            group(output).writers.append(node)
        elif ONNX[node.op_type].homogeneous and (node.op_type != "Add" or len(activations) == 2):
            for name in activations:
                join(name, output)
        elif node.op_type == "Mul" and (scaled := _gated(graph, node)) is not None:
            join(scaled, output)
            group(next(name for name in node.input if name != scaled)).frozen = True
        elif node.op_type == "Flatten" and _flattens_pixels(graph, node):
            join(activations[0], output)
        else:  # not homogeneous, or moves channels
            for name in (*activations, output):
                group(name).frozen = True
    for output in graph.outputs:
        group(output.name).frozen = True
    return list({id(g): g for g in group_of.values()}.values())


def _gated(graph: OnnxGraph, node: Any) -> str | None:
    """Which factor of a product may be scaled: the one that is not a clipped gate; None where neither is one."""
    for scaled, gate in (tuple(node.input), tuple(node.input)[::-1]):
        writer = graph.writer(gate)
        if scaled != gate and writer is not None and writer.op_type in ("Clip", "Sigmoid"):
            return str(scaled)
    return None


def _flattens_pixels(graph: OnnxGraph, node: Any) -> bool:
    """Whether a Flatten reads a 1x1 map, so that its columns are channels."""
    writer = graph.writer(node.input[0])
    return writer is not None and writer.op_type == "GlobalAveragePool"


def _factors(graph: OnnxGraph, group: _Group, observations: Mapping[str, Observation]) -> _Doubles:
    largest = np.max([observations[name].channel_largest for name in group.tensors], axis=0).astype(np.float64)
    read = np.max([_input_ranges(graph, layer) for layer in group.readers], axis=0)
    alive = (largest > 0) & (read > 0)
    factors = np.ones(len(largest))
    factors[alive] = np.sqrt(largest[alive] / read[alive])
    factors[alive] /= np.exp(np.log(factors[alive]).mean()) if alive.any() else 1
    return np.clip(factors, 1 / _MOST, _MOST)


def _input_ranges(graph: OnnxGraph, layer: Any) -> _Doubles:
    """Largest weight magnitude behind each input channel of a layer."""
    weights = np.abs(graph.constants[layer.input[1]].astype(np.float64))
    groups = attributes(layer).get("group", 1)
    if groups > 1:  # depthwise: the outputs of one input channel are neighbours
        return np.asarray(weights.reshape(groups, -1).max(1))
    return np.asarray(weights.max(tuple(axis for axis in range(weights.ndim) if axis != 1)))


def _scale_inputs(graph: OnnxGraph, layer: Any, factors: _Doubles) -> None:
    weights, groups = graph.constants[layer.input[1]], attributes(layer).get("group", 1)
    axis = 0 if groups > 1 else 1
    by_channel = np.repeat(factors, weights.shape[axis] // len(factors))
    shape = [1] * weights.ndim
    shape[axis] = -1
    name = f"{layer.name}.weight.equalized"
    graph.constants[name] = (weights * by_channel.reshape(shape)).astype(np.float32)
    layer.input[1] = name
