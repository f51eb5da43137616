from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flatnas.arch import Arch
from flatnas.lowering import lower
from flatnas.objective import figure_of_merit, knee, select
from flatnas.search import Evaluation, Generation, front_of, search, select_from
from flatnas.spaces import mcu_space
from hardware_profiles.footprint import Footprint, excess, footprint
from hardware_profiles.profile import HardwareProfile, load_profile

pytest.importorskip("pymoo")

SPACE = mcu_space(10)


def pretended_error(arch: Arch) -> float:
    """Larger nets err less, with some ruggedness: enough structure for a search to find."""
    genes = SPACE.encode(arch) / [max(len(g) - 1, 1) for g in SPACE.genes]
    return float(0.5 - 0.3 * genes.mean() + 0.02 * np.sin(37 * genes.sum()))


def run(
    profile: HardwareProfile, evaluations: int, seed: int, called: Callable[[Arch], None] = lambda arch: None
) -> list[Generation]:
    def evaluate(arch: Arch, cost: Footprint) -> Evaluation:
        called(arch)
        error = pretended_error(arch)
        return Evaluation(arch, error, 0.05 + 0.1 * error, 0.01, 0.05, cost)

    return list(
        search(
            SPACE,
            lambda arch: footprint(lower(SPACE, arch), profile),
            lambda cost: tuple(excess(cost, profile.budget).values()),
            evaluate,
            evaluations=evaluations,
            population=8,
            alpha=0.5,
            macs_budget=profile.budget.macs,
            seed=seed,
        )
    )


def test_figure_of_merit_balances_error_and_flatness_by_their_means() -> None:
    # means: error 0.3, R 0.1, so alpha_norm = 3 and F = 0.5 * error + 0.5 * 3 * R
    merit = figure_of_merit(np.array([0.2, 0.4]), np.array([0.05, 0.15]), 0.5)
    assert merit.tolist() == pytest.approx([0.1 + 0.075, 0.2 + 0.225])
    assert figure_of_merit(np.array([0.2, 0.4]), np.array([0.3, 0.0]), 1.0).tolist() == [0.2, 0.4]
    with pytest.raises(ValueError, match="alpha must be in"):
        figure_of_merit(np.array([0.1]), np.array([0.1]), 0.0)


def test_the_knee_is_the_point_below_the_line_between_the_ends() -> None:
    assert knee(np.array([[0.0, 10.0], [0.1, 2.0], [1.0, 0.0]])) == 1


def test_selection_follows_its_name_and_ties_go_to_fewer_macs() -> None:
    error, r, macs, merit = (
        np.array([0.1, 0.1, 0.3]),
        np.array([3.0, 2.0, 1.0]),
        np.array([9.0, 5.0, 1.0]),
        np.array([0.5, 0.4, 0.6]),
    )
    assert select(error, r, macs, merit, "accuracy") == 1
    assert select(error, r, macs, merit, "robust") == 1
    assert select(error, r, macs, merit, "smallest") == 2


@pytest.mark.parametrize("target", ["cortex-m4", "rp2040", "raspberry-pi-4"])
def test_only_feasible_subnets_are_evaluated_and_selected(target: str) -> None:
    profile = load_profile(target)
    last = run(profile, 24, seed=1)[-1]
    assert len(last.evaluations) >= 24
    for evaluation in last.evaluations:
        assert max(excess(evaluation.footprint, profile.budget).values()) <= 0
    for how in ("knee", "accuracy", "robust", "smallest"):
        assert select_from(last.evaluations, 0.5, how) in last.evaluations


def test_random_budgets_never_let_an_infeasible_subnet_through() -> None:
    rng = np.random.default_rng(0)
    for seed in range(6):
        archs = [SPACE.sample_by_size(rng) for _ in range(3)]
        costs = [footprint(lower(SPACE, a), load_profile("cortex-m7")) for a in archs]
        tight = {
            "budget.macs": str(max(c.macs for c in costs)),
            "budget.sram_bytes": f"{max(c.sram_bytes for c in costs)}B",
        }
        profile = load_profile("cortex-m7", tight)
        for evaluation in run(profile, 10, seed)[-1].evaluations:
            assert max(excess(evaluation.footprint, profile.budget).values()) <= 0


def test_the_same_seed_searches_the_same_subnets_and_each_once() -> None:
    profile = load_profile("cortex-m7")
    seen: list[Arch] = []
    first = run(profile, 20, seed=3, called=seen.append)
    assert len(seen) == len(set(seen)) == len(first[-1].evaluations)
    assert [e.arch for e in run(profile, 20, seed=3)[-1].evaluations] == seen
    assert [e.arch for e in run(profile, 20, seed=4)[-1].evaluations] != seen


def test_hypervolume_never_shrinks_and_the_front_is_not_dominated() -> None:
    generations = run(load_profile("cortex-m7"), 40, seed=0)
    volumes = [g.hypervolume for g in generations]
    assert volumes == sorted(volumes)
    assert 0 < volumes[0] <= volumes[-1] <= 1
    front = generations[-1].front
    macs = [e.footprint.macs for e in front]
    errors = [e.clean_error for e in front]
    assert macs == sorted(macs)
    assert errors == sorted(errors, reverse=True)
    assert front_of(generations[-1].evaluations, 0.5) == front


def test_the_search_beats_random_subnets_of_the_same_number() -> None:
    profile = load_profile("raspberry-pi-4")
    rng = np.random.default_rng(0)
    found = [min(e.clean_error for e in run(profile, 64, seed)[-1].evaluations) for seed in range(3)]
    random = [min(pretended_error(SPACE.sample(rng)) for _ in range(64)) for _ in range(3)]
    assert np.median(found) < np.median(random)


def test_every_value_of_every_gene_is_reached() -> None:
    profile = load_profile("raspberry-pi-4")
    codes = np.stack([SPACE.encode(e.arch) for e in run(profile, 150, seed=0)[-1].evaluations])
    for values, choices in zip(codes.T, SPACE.genes, strict=True):
        assert set(values) == set(range(len(choices)))


def test_budgets_below_the_smallest_subnet_are_refused() -> None:
    with pytest.raises(ValueError, match="no subnet of the space meets the budgets"):
        run(load_profile("cortex-m7", {"budget.macs": "1000"}), 10, seed=0)
