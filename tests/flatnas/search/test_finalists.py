from __future__ import annotations

from dataclasses import replace

from flatnas.search.finalists import finalists, select_finalist
from flatnas.search.measured import Evaluation, Flatness, Measured
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from hardware_profiles.footprint import footprint
from hardware_profiles.profile import load_profile

SPACE, PROFILE = mcu_space(10), load_profile("cortex-m7")


def evaluation(resolution: int, clean_error: float, r: float = 0.05, kernel: int = 3) -> Evaluation:
    stages = SPACE.smallest.stages
    first = replace(stages[0], blocks=(replace(stages[0].blocks[0], kernel=kernel),))
    arch = replace(SPACE.smallest, resolution=resolution, stages=(first, *stages[1:]))
    measured = Measured(arch, clean_error, (Flatness("gaussian-0.05", r, r, r),))
    return Evaluation(measured, footprint(lower(SPACE, arch), PROFILE))


def test_each_resolution_sends_its_most_accurate_subnet() -> None:
    measured = [evaluation(16, 0.24), evaluation(32, 0.22), evaluation(24, 0.18, kernel=5), evaluation(24, 0.2)]
    assert finalists(measured) == (measured[2], measured[1], measured[0])


def test_a_resolution_that_errs_half_as_often_again_is_given_up() -> None:
    measured = [evaluation(24, 0.2), evaluation(16, 0.31), evaluation(20, 0.3)]
    assert finalists(measured) == (measured[0], measured[2])


def test_equal_errors_go_to_the_cheaper_subnet() -> None:
    small, large = evaluation(24, 0.2, kernel=3), evaluation(24, 0.2, kernel=7)
    assert finalists([large, small]) == (small,)


def test_the_error_after_training_decides_not_the_inherited_one_nor_flatness() -> None:
    measured = [evaluation(24, 0.18, r=0.03), evaluation(32, 0.21, r=0.09), evaluation(20, 0.2)]
    chosen = finalists(measured)
    errors = {24: 0.145, 32: 0.141, 20: 0.16}
    trained = [errors[e.arch.resolution] for e in chosen]
    assert select_finalist(chosen, trained).arch.resolution == 32


def test_equally_trained_finalists_go_to_the_cheaper_one() -> None:
    chosen = finalists([evaluation(24, 0.18), evaluation(32, 0.21), evaluation(20, 0.2)])
    assert select_finalist(chosen, [0.15] * 3).arch.resolution == 20
