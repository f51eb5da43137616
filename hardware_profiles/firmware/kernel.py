"""Kernel: a C function of export/runtime, what it does, how it wants its constants, and what it costs.

A kernel that is faster does less. Whether it does a layer follows from shapes, which are known to the search, and from
numbers, which are known when the model is trained; costs count the kernel that the shapes allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

from hardware_profiles.cores import InstructionSet
from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.firmware.layout import Array, Layout, Multiplier

Code = Mapping[str, Mapping[str, int]]  # bytes of each piece of code, by what it is compiled for


def portable_code(function: str, armv6: int, armv7: int, dsp: int, mve: int) -> Code:
    """The sizes of a function in C, helpers included: GCC 12's with -O2."""
    sizes = {"armv6-m": armv6, "armv7-m": armv7, "dsp": dsp, "mve": mve}
    return {target: {function: nbytes} for target, nbytes in sizes.items()}


def elements(op: OpSpec, adds: bool) -> tuple[float, ...]:
    """Elements read or written, whichever are more; channels; the call."""
    return (max(prod(tensor.shape) for tensor in (op.output, *op.inputs)), op.output.shape[-1], 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A C function.

    Attributes:
        files: of the runtime, that hold it and what it calls.
        needs: the instruction set it is written in; `scalar` runs everywhere.
        fits: whether it does an operator of these shapes.
        refuses: why it can't do a layer of these numbers; None where it can.
        pack: int8 weights (C_out, steps) to its own order.
        pad: one value per output channel to as many as it reads.
        factor: multiplier to the form it wants.
        in_place: whether it can write its output over an input of the same shape.
        scratch: bytes of the arena that it needs for itself.
        struct_bytes: of its argument, a struct of export/runtime/nn.h or nn_kernels.h.
        arrays: bytes of a layer's constant arrays, in the order that GCC lays them out.
        code: of the function and what it calls; the linker keeps a piece once.
        weights_row: its row of instruction_weights, its function where that has one.
        terms: how often the bodies of its loops run; `adds` where its epilogue adds.
    """

    function: str
    files: tuple[str, ...]
    needs: InstructionSet = "scalar"
    fits: Callable[[OpSpec], bool] = lambda op: True
    refuses: Callable[[Layout], str | None] = lambda layout: None
    pack: Callable[[Array], Array] = lambda weights: weights
    pad: Callable[[Array], Array] = lambda values: values
    factor: Callable[[Multiplier], Multiplier] = lambda factor: factor
    in_place: Callable[[OpSpec], bool] = lambda op: False
    scratch: Callable[[OpSpec], int] = lambda op: 0
    struct_bytes: int = 0
    arrays: Callable[[OpSpec], tuple[int, ...]] = lambda op: ()
    code: Code = field(default_factory=dict)
    weights_row: Callable[[OpSpec], str] | None = None
    terms: Callable[[OpSpec, bool], tuple[float, ...]] = elements
