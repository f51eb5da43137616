from __future__ import annotations

from dataclasses import replace

from flatnas.evaluation import Flatness, Measured
from flatnas.finalists import finalists, select_finalist
from flatnas.lowering import lower
from flatnas.search import Evaluation, Objective
from flatnas.spaces import mcu_space
from hardware_profiles.footprint import footprint
from hardware_profiles.profile import load_profile

SPACE, PROFILE = mcu_space(10), load_profile("cortex-m7")
OBJECTIVE = Objective(0.5, (0.05,))


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


def test_the_error_after_training_decides_not_the_inherited_one() -> None:
    measured = [evaluation(24, 0.18), evaluation(32, 0.21), evaluation(20, 0.2)]
    chosen = finalists(measured)
    errors = {24: 0.147, 32: 0.138, 20: 0.16}
    trained = [errors[e.arch.resolution] for e in chosen]
    assert select_finalist(chosen, trained, measured, OBJECTIVE, 5000).arch.resolution == 32


def test_what_the_images_cannot_tell_apart_is_decided_by_flatness() -> None:
    measured = [evaluation(24, 0.18, r=0.03), evaluation(32, 0.18, r=0.09)]
    chosen = finalists(measured)
    # one standard error of 14 % on 5,000 images is 0.5 points: 14.2 is a tie with 14.0, 14.6 is none
    errors = {24: 0.142, 32: 0.140}
    assert select_finalist(chosen, [errors[e.arch.resolution] for e in chosen], measured, OBJECTIVE, 5000) is chosen[0]
    plain = replace(OBJECTIVE, alpha=1.0)  # no flatness: the least error after training
    assert select_finalist(chosen, [errors[e.arch.resolution] for e in chosen], measured, plain, 5000) is chosen[1]
    errors = {24: 0.146, 32: 0.140}
    assert select_finalist(chosen, [errors[e.arch.resolution] for e in chosen], measured, OBJECTIVE, 5000) is chosen[1]
