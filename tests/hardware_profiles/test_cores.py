"""The table of cores holds together with the tables of what they cost."""

from __future__ import annotations

from typing import get_args

import pytest

from hardware_profiles.cores import CORES, FIRMWARE_CORES, CoreName, compiled_for, instruction_set
from hardware_profiles.cost.cycles_per_instruction import CYCLES_PER_INSTRUCTION
from hardware_profiles.cost.libraries import KERNELS
from hardware_profiles.firmware.instruction_weights import WEIGHTS


def test_every_name_has_a_row() -> None:
    assert tuple(CORES) == get_args(CoreName)


def test_every_library_of_a_core_has_its_costs_and_no_other_has() -> None:
    assert {(name, library) for name, core in CORES.items() for library in core.libraries.values()} == set(KERNELS)


@pytest.mark.parametrize("core", FIRMWARE_CORES)
def test_what_firmware_takes_on_a_core_is_known(core: str) -> None:
    assert core in CYCLES_PER_INSTRUCTION
    for features in ((), CORES[core].features):
        kernels = instruction_set(core, features)
        assert kernels is not None
        assert compiled_for(core, kernels) in WEIGHTS
