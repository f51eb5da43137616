"""Which models C can be made of."""

from __future__ import annotations

from export.graph import ExportError, Graph, to_ops
from export.write.layers import SUPPORTED, lower
from hardware_profiles.firmware.plan import plan_firmware


def firmware_obstacle(graph: Graph) -> str | None:
    """Why firmware can't be made of a graph, naming the node where it is one; None where it can."""
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
