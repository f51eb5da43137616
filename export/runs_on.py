"""What keeps a runtime from running a graph: one answer for `fit`, `firmware`, `parity`, `audit` and the search."""

from __future__ import annotations

from export.firmware.layers import SUPPORTED, lower
from export.graph import ExportError, Graph, to_ops
from export.interpreter import Interpreter
from hardware_profiles.firmware import plan_firmware


def obstacle(graph: Graph, runtime: str) -> str | None:
    """Why a runtime can't run a graph, naming the node where it is one; None where it can, as far as is known here.

    Args:
        runtime: `firmware`, `tflm`, `litert` or `interpreter`.
    """
    match runtime:
        case "firmware":
            return _firmware(graph)
        case "tflm":
            return _tflm(graph)
        case "interpreter":
            return _interpreter(graph)
    return None


def _firmware(graph: Graph) -> str | None:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        return (
            f"the model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; the firmware takes one of each"
        )
    for node in graph.nodes:
        if node.op not in SUPPORTED:
            return f"node '{node.name}' is a {node.op}; the firmware does {', '.join(SUPPORTED)}"
        for name in (node.inputs[0], *node.outputs):
            tensor = graph.tensor(name)
            if tensor.dtype != "int8" or tensor.qparams is None or len(tensor.qparams.scale) != 1:
                return (
                    f"node '{node.name}' ({node.op}): tensor '{name}' is {tensor.dtype}; the firmware computes in int8 "
                    "with one scale per activation; quantize the model first"
                )
    shape = graph.tensor(graph.inputs[0]).shape
    if len(shape) > 1 and shape[0] != 1:
        return f"the model takes {shape[0]} inputs at a time; the firmware takes one: export it with batch size 1"
    if all(node.op == "RESHAPE" for node in graph.nodes):
        return "the model has no operator but RESHAPE: there is nothing to compute"
    try:
        lower(graph, plan_firmware(to_ops(graph), "scalar"), "scalar")
    except ExportError as error:
        return str(error)
    return None


def _tflm(graph: Graph) -> str | None:
    for node in graph.nodes:
        tensors = [graph.tensor(name) for name in node.inputs]
        if tensors and tensors[0].dtype == "float16":
            return f"node '{node.name}' ({node.op}): TFLite Micro reads no float16 weights"
        if len(tensors) > 1 and tensors[0].dtype == "float32" and tensors[1].dtype == "int8":
            return f"node '{node.name}' ({node.op}): TFLite Micro runs no dynamic-range models (float, int8 weights)"
    return None


def _interpreter(graph: Graph) -> str | None:
    try:
        Interpreter(graph)
    except ExportError as error:
        return str(error)
    return None
