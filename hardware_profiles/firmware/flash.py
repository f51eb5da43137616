"""Flash of our C firmware: constants to the byte, code by the sizes of the kernels that a network uses.

The linker keeps a kernel once, however many layers call it. A layer whose numbers a fast kernel can't hold gets the
portable one: its code comes on top, and is not known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardware_profiles.cores import InstructionSet, compiled_for
from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.firmware.elementwise import ADD_STRUCT_BYTES
from hardware_profiles.firmware.kernels import candidates
from hardware_profiles.firmware.plan import FirmwarePlan

_ALIGNMENT = 8  # of arrays; structs have 2 or 4
_STARTUP_BYTES = 230  # vectors, reset handler, model_input and model_output
_CALLS_BYTES, _CALL_BYTES = 30, 30.5  # model_run, and what it needs to call a layer's kernel


@dataclass(frozen=True, slots=True)
class FirmwareFlash:
    """Bytes of flash: code with startup and vectors, constants."""

    code: int
    data: int

    @property
    def total(self) -> int:
        """Both."""
        return self.code + self.data


def firmware_flash(
    ops: Sequence[OpSpec], plan: FirmwarePlan, core: str, instruction_set: InstructionSet
) -> FirmwareFlash:
    """Flash of a network's firmware; an operator of unknown kind has none, and the footprint names it.

    Args:
        ops: in execution order.
        plan: of these operators.
        instruction_set: of the core, see `hardware_profiles.cores.instruction_set`.
    """
    target = compiled_for(core, instruction_set)
    code: dict[str, int] = {}
    data = 0
    for step in reversed(plan.steps):  # as GCC lays them out
        op = ops[step.op]
        for kernel in candidates(instruction_set, op)[:1]:
            for nbytes in (kernel.struct_bytes, *([ADD_STRUCT_BYTES] if step.add is not None else [])):
                data = _aligned(data, 2 if nbytes % 4 else 4) + nbytes
            for nbytes in kernel.arrays(op):
                data = _aligned(data, _ALIGNMENT) + nbytes
            code |= kernel.code[target]
    calls = _CALLS_BYTES + _CALL_BYTES * len(plan.steps)
    return FirmwareFlash(round(_STARTUP_BYTES + calls + sum(code.values())), data)


def _aligned(nbytes: int, to: int) -> int:
    return -(-nbytes // to) * to
