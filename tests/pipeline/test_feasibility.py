from __future__ import annotations

import pytest

from flatnas.space.spaces import mcu_space, mobile_space
from hardware_profiles.profile import load_profile
from pipeline.errors import InfeasibleBudgetError
from pipeline.feasibility import binding, check_feasible, searched_space


def test_a_budget_that_nothing_meets_is_named_with_a_way_out() -> None:
    tight = load_profile("cortex-m7", {"budget.sram_bytes": "4kB"})
    expected = (
        r"no subnet meets the budgets of 'cortex-m7': sram_bytes is the tightest, 4,000 allowed, and the smallest "
        r"subnet of the space needs [\d,]+; allow more with --set budget.sram_bytes=…, or choose a larger target"
    )
    with pytest.raises(InfeasibleBudgetError, match=expected):
        check_feasible(mcu_space(10), tight)


def test_the_time_that_is_said_to_be_needed_is_enough() -> None:
    with pytest.raises(InfeasibleBudgetError, match=r"latency_ms is the tightest") as told:
        check_feasible(mcu_space(10), load_profile("cortex-m7", {"budget.latency_ms": "1us"}))
    needed = str(told.value).split("needs ")[1].split(";")[0]
    check_feasible(mcu_space(10), load_profile("cortex-m7", {"budget.latency_ms": f"{needed}ms"}))


def test_the_space_fits_a_microcontroller() -> None:
    check_feasible(mcu_space(10), load_profile("cortex-m7"))


def test_a_mobile_cpu_cuts_the_mobile_space_and_not_the_one_of_microcontrollers() -> None:
    assert binding(mcu_space(10), load_profile("cortex-m7"))
    assert not binding(mcu_space(10), load_profile("raspberry-pi-4"))
    assert binding(mobile_space(10), load_profile("raspberry-pi-4"))


def test_of_own_pictures_the_sizes_are_searched_that_keep_small_things() -> None:
    m7 = load_profile("cortex-m7")

    def sizes(side: int, inputs: str = "auto", *, own: bool = True) -> tuple[int, ...]:
        return searched_space(mcu_space(3, side), inputs, own, m7).resolutions  # type: ignore[arg-type]

    assert sizes(48) == (48,)
    assert sizes(64) == (64,)
    assert sizes(96) == (72, 84, 96)  # of 48, 60, 72, 84, 96
    assert sizes(96, "whole") == (96,)
    assert sizes(96, "all") == mcu_space(3, 96).resolutions
    assert sizes(64, own=False) == mcu_space(3, 64).resolutions


def test_where_no_such_size_fits_the_largest_that_does_is_searched() -> None:
    # the smallest subnet needs 22,288 bytes at 60 pixels, 32,224 at 72
    tight = load_profile("cortex-m7", {"budget.sram_bytes": "30kB"})
    assert searched_space(mcu_space(3, 96), "auto", True, tight).resolutions == (60,)
    nothing = load_profile("cortex-m7", {"budget.sram_bytes": "9kB"})
    assert searched_space(mcu_space(3, 96), "auto", True, nothing) == mcu_space(3, 96)  # what refuses it says why
