"""Instructions that our C firmware takes for a network on a core: what its kernels' loops count, times fitted weights.

    instructions(step) = sum over the terms of its kernel: how often a loop's body runs * instructions of the body

The terms follow the loops of `export/runtime/`; their weights are non-negative least squares, by relative error, over
the layers of random subnets and the operators of random graphs on emulated cores (GCC 12, -O2). They are instructions,
not cycles: dual issue, wait states and caches lie between the two. Not known beforehand, and worth up to 5 %: whether a
layer's output fills int8, which saves its clamp.
"""

from __future__ import annotations

from collections.abc import Sequence

from hardware_profiles.cores import InstructionSet, compiled_for
from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.firmware.instruction_weights import WEIGHTS
from hardware_profiles.firmware.kernels import candidates
from hardware_profiles.firmware.plan import FirmwarePlan


def instructions(
    ops: Sequence[OpSpec], plan: FirmwarePlan, core: str, instruction_set: InstructionSet
) -> tuple[float, ...]:
    """Instructions of each operator; those of an ADD that a convolution's epilogue does are the convolution's.

    A network's are predicted to within a few percent. An operator of unknown kind has 0, and the footprint names it.

    Args:
        ops: in execution order.
        plan: of these operators.
        instruction_set: of the core, see `hardware_profiles.cores.instruction_set`.

    Raises:
        KeyError: no weights for a kernel that the network needs.
    """
    weights = {**_PORTABLE, **WEIGHTS[compiled_for(core, instruction_set)]}
    found = [0.0] * len(ops)
    for step in plan.steps:
        for row, terms in step_terms(ops[step.op], step.add is not None, instruction_set):
            found[step.op] = sum(w * t for w, t in zip(weights[row], terms, strict=True))
    return tuple(found)


# Portable kernels that a core with a faster one runs seldom: as Thumb-2 on a core without.
_PORTABLE = {row: WEIGHTS["armv7-m"][row] for row in ("nn_conv_c", "nn_depthwise_c")}


def step_terms(op: OpSpec, adds: bool, instruction_set: InstructionSet) -> Sequence[tuple[str, tuple[float, ...]]]:
    """The row of weights of an operator's kernel, and its terms; nothing of an operator of unknown kind."""
    kernels = candidates(instruction_set, op)[:1]
    return [(k.function if k.weights_row is None else k.weights_row(op), k.terms(op, adds)) for k in kernels]
