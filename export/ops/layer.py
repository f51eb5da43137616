"""Layer: one step of the firmware as C, and what an operator is given to make one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.graph import Array, ExportError, Graph, Node, Tensor
from export.ops.fixed_point import quantize_multiplier
from hardware_profiles.cost.ops import same_padding
from hardware_profiles.firmware.layout import Layout, Multiplier

if TYPE_CHECKING:  # what a kernel costs is no part of the keys of stages that quantize or run integers
    from hardware_profiles.firmware.kernel import Kernel
    from hardware_profiles.firmware.plan import FirmwarePlan

Fields = dict[str, str | int]
_CTYPE_BYTES: Mapping[str, int] = {"int8_t": 1, "int32_t": 4}


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A constant array of a layer: its C type, its name after the layer's, its values."""

    ctype: str
    suffix: str
    values: Array


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A constant struct of a layer: its C type, its name after the layer's, its fields as C text."""

    ctype: str
    suffix: str
    fields: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One step as C.

    Attributes:
        title: for the comment above it.
        calls: of the kernel, each with its arguments as C text.
        output: the tensor it leaves, and `output_at` where, as C text.
        reason: why it runs in portable C though its core has a faster kernel of its kind; None where it does not.
    """

    name: str
    title: str
    kernel: Kernel
    constants: tuple[Constant, ...]
    structs: tuple[Struct, ...]
    calls: tuple[tuple[str, ...], ...]
    output: Tensor
    output_at: str
    reason: str | None = None

    @property
    def constant_bytes(self) -> int:
        """Flash of the layer's arrays."""
        return sum(constant.values.size * _CTYPE_BYTES[constant.ctype] for constant in self.constants)


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What an operator is given beside its node to make a layer.

    Attributes:
        index: of the step.
        add: the ADD that the step does, too.
        choose: the kernel for the layer's numbers.
        reason: why that is portable C though the core has a faster one of its kind; None where it is not.
    """

    graph: Graph
    plan: FirmwarePlan
    index: int
    add: Node | None
    choose: Callable[[Layout], Kernel]
    reason: Callable[[Layout], str | None]

    def at(self, tensor: str) -> str:
        """Where a tensor lies, as C text."""
        return f"model_arena + {self.plan.offset(tensor)}"

    @property
    def scratch(self) -> str:
        """Where the step's scratch lies, as C text."""
        offset = self.plan.scratch_offset(self.index)
        return "0" if offset is None else f"model_arena + {offset}"

    @property
    def name(self) -> str:
        """The layer's."""
        return f"layer{self.index}"

    def layer(
        self,
        node: Node,
        kernel: Kernel,
        constants: tuple[Constant, ...],
        structs: tuple[Struct, ...],
        *calls: tuple[str, ...],
        reason: str | None = None,
    ) -> Layer:
        """The layer of a node, and of the ADD behind it."""
        nodes = [node] if self.add is None else [node, self.add]
        output = self.graph.tensor(nodes[-1].outputs[0])
        title = ", then ".join(_title(self.graph, n) for n in nodes)
        return Layer(self.name, title, kernel, constants, structs, calls, output, self.at(output.name), reason)

    def simple(self, node: Node, ctype: str, fields: Fields, *constants: Constant) -> Layer:
        """The layer of a kernel that takes one struct, reads one tensor and writes one."""
        arguments = (f"&{self.name}", self.at(node.inputs[0]), self.at(node.outputs[0]))
        return self.layer(node, self.choose(Layout()), constants, (Struct(ctype, "", fields),), arguments)


def _title(graph: Graph, node: Node) -> str:
    shape = "x".join(str(side) for side in graph.tensor(node.outputs[0]).shape[1:])
    return f"{node.name} -> {shape}"


def multiplier(real: float) -> Multiplier:
    """The nearest multiplier, as export.ops.fixed_point has it, with the shift to the right."""
    mantissa, left = quantize_multiplier(real)
    return Multiplier(mantissa, -left)


def window_geometry(graph: Graph, node: Node) -> dict[str, int]:
    """The fields of `nn_conv` and `nn_pool` for a window that slides over a map.

    Raises:
        ExportError: a value that the fields can't hold.
    """
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    _, in_h, in_w, in_c = x.shape
    _, out_h, out_w, out_c = y.shape
    (kernel_h, kernel_w), (stride_h, stride_w) = node.options.kernel_hw, node.options.stride_hw
    dilation_h, dilation_w = node.options.dilation_hw
    padding = (0, 0)
    if node.options.padding == "SAME":
        spans = (dilation_h * (kernel_h - 1) + 1, dilation_w * (kernel_w - 1) + 1)
        padding = (same_padding(in_h, spans[0], stride_h)[0], same_padding(in_w, spans[1], stride_w)[0])
    geometry = {
        "in_h": in_h,
        "in_w": in_w,
        "in_c": in_c,
        "out_h": out_h,
        "out_w": out_w,
        "out_c": out_c,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "stride_h": stride_h,
        "stride_w": stride_w,
        "dilation_h": dilation_h,
        "dilation_w": dilation_w,
        "pad_top": padding[0],
        "pad_left": padding[1],
    }
    check_geometry(node, geometry)
    return geometry


def check_geometry(node: Node, geometry: Mapping[str, int]) -> None:
    """Refuse what the fields of `nn_conv` and `nn_pool` can't hold."""
    for key, value in geometry.items():
        largest = 32767 if key.startswith(("in_", "out_")) else 255
        if value > largest:
            raise ExportError(
                f"node '{node.name}' ({node.op}): {key} is {value:,}; the kernels take at most {largest:,}"
            )
