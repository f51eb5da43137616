"""What keeps a runtime from running a graph: one answer for `fit`, `firmware`, `parity`, `audit` and the search."""

from __future__ import annotations

from export.graph import ExportError, Graph
from export.ops.interpreter import Interpreter
from export.write.layers import firmware_obstacle


def obstacle(graph: Graph, runtime: str) -> str | None:
    """Why a runtime can't run a graph, naming the node where it is one; None where it can, as far as is known here.

    Args:
        runtime: `firmware`, `tflm`, `litert` or `interpreter`.
    """
    match runtime:
        case "firmware":
            return firmware_obstacle(graph)
        case "tflm":
            return _tflm(graph)
        case "interpreter":
            return _interpreter(graph)
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
