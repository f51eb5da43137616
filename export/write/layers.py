"""Graph -> layers: the firmware's kernel calls, or why it can't be made."""

from __future__ import annotations

from functools import partial

from export.graph import ExportError, Graph
from export.ops.layer import Context, Layer
from export.ops.table import OPERATORS
from export.to_ops import to_ops
from hardware_profiles.cores import InstructionSet
from hardware_profiles.firmware.kernels import kernel_for, plain_reason
from hardware_profiles.firmware.plan import FirmwarePlan, Step, plan_firmware


def lower(graph: Graph, plan: FirmwarePlan, instruction_set: InstructionSet) -> tuple[Layer, ...]:
    """The layers of a plan, in execution order.

    Raises:
        ExportError: an operator, option or type that no kernel does; names the node.
    """

    ops = to_ops(graph)

    def layer(index: int, step: Step) -> Layer:
        node = graph.nodes[step.op]
        make = OPERATORS[node.op].lower
        assert make is not None, node.op
        add, op = None if step.add is None else graph.nodes[step.add], ops[step.op]
        choose, reason = partial(kernel_for, instruction_set, op), partial(plain_reason, instruction_set, op)
        return make(Context(graph, plan, index, add, choose, reason), node)

    return tuple(layer(index, step) for index, step in enumerate(plan.steps))


def firmware_obstacle(graph: Graph) -> str | None:
    """Why firmware can't be made of a graph, naming the node where it is one; None where it can."""
    try:
        check_supported(graph)
        lower(graph, plan_firmware(to_ops(graph), "scalar"), "scalar")
    except ExportError as error:
        return str(error)
    return None


def check_supported(graph: Graph) -> None:
    """Refuse what the firmware can't be planned for; options and shapes are refused by `lower`.

    Raises:
        ExportError: names the node where it is one, and lists what is supported.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ExportError(
            f"the model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; the firmware takes one of each"
        )
    done = [name for name, operator in OPERATORS.items() if operator.in_firmware]
    for node in graph.nodes:
        if node.op not in done:
            raise ExportError(f"node '{node.name}' is a {node.op}; the firmware does {', '.join(done)}")
        for name in (node.inputs[0], *node.outputs):
            tensor = graph.tensor(name)
            if tensor.dtype != "int8" or tensor.qparams is None or len(tensor.qparams.scale) != 1:
                raise ExportError(
                    f"node '{node.name}' ({node.op}): tensor '{name}' is {tensor.dtype}; the firmware computes in int8 "
                    "with one scale per activation; quantize the model first"
                )
    shape = graph.tensor(graph.inputs[0]).shape
    if len(shape) > 1 and shape[0] != 1:
        raise ExportError(
            f"the model takes {shape[0]} inputs at a time; the firmware takes one: export it with batch size 1"
        )
    if not any(OPERATORS[node.op].lower for node in graph.nodes):
        raise ExportError("the model has no operator but RESHAPE: there is nothing to compute")
