from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatnas.search.candidates import Candidates
from flatnas.search.measured import Evaluation, Flatness, Measured
from flatnas.search.nsga2 import nsga2, tell
from flatnas.search.objective import figure_of_merit, knee, select
from flatnas.search.search import Generation, Map, Objective, Plan, front_of, hypervolume, search, select_from
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import HardwareProfile, load_profile

pytest.importorskip("pymoo")

SPACE = mcu_space(10)


def pretended_error(arch: Arch) -> float:
    """Larger nets err less, with some ruggedness: enough structure for a search to find."""
    genes = SPACE.encode(arch) / [max(len(g) - 1, 1) for g in SPACE.genes]
    return float(0.5 - 0.3 * genes.mean() + 0.02 * np.sin(37 * genes.sum()))


def fits(arch: Arch, profile: HardwareProfile) -> bool:
    return max(excess(footprint(lower(SPACE, arch), profile), profile.budget).values()) <= 0


OBJECTIVE = Objective(0.5, (0.05,))


def pretended(arch: Arch) -> Measured:
    error = pretended_error(arch)
    r = 0.05 + 0.1 * error
    return Measured(arch, error, (Flatness("gaussian-0.05", r, r, r),))


def run(
    profile: HardwareProfile,
    evaluations: int,
    seed: int,
    evaluate: Callable[[Arch], Measured] = pretended,
    mapper: Map = map,
    plan: Plan | None = None,
) -> list[Generation]:
    plan = plan or Plan(initial=8, batch=8, evaluations=evaluations, most=evaluations, population=16, generations=6)
    return list(
        search(
            SPACE,
            lambda arch: footprint(lower(SPACE, arch), profile),
            lambda cost: tuple(excess(cost, profile.budget).values()),
            evaluate,
            plan=plan,
            objective=OBJECTIVE,
            macs_budget=profile.budget.macs,
            seed=seed,
            mapper=mapper,
        )
    )


def test_figure_of_merit_balances_error_and_flatness_by_their_means() -> None:
    # means: error 0.3, R 0.1, so alpha_norm = 3 and F = 0.5 * error + 0.5 * 3 * R
    error, r = np.array([0.2, 0.4]), np.array([[0.05], [0.15]])
    assert figure_of_merit(error, r, 0.5).tolist() == pytest.approx([0.1 + 0.075, 0.2 + 0.225])
    assert figure_of_merit(error, r[::-1], 1.0).tolist() == [0.2, 0.4]
    with pytest.raises(ValueError, match="alpha must be in"):
        figure_of_merit(error, r, 0.0)


def test_several_sigmas_count_alike_however_large_their_r_is() -> None:
    error = np.array([0.3, 0.3])
    r = np.array([[0.01, 0.4], [0.03, 0.4]])  # means 0.02 and 0.4: alpha_norm is 15 and 0.75
    assert figure_of_merit(error, r, 0.5).tolist() == pytest.approx([0.15 + 0.5 * 0.225, 0.15 + 0.5 * 0.375])


def test_the_knee_is_the_point_below_the_line_between_the_ends() -> None:
    assert knee(np.array([[0.0, 10.0], [0.1, 2.0], [1.0, 0.0]])) == 1


def test_selection_follows_its_name_and_ties_go_to_fewer_macs() -> None:
    error, macs, merit = np.array([0.1, 0.1, 0.3]), np.array([9.0, 5.0, 1.0]), np.array([0.4, 0.4, 0.2])
    assert select(error, macs, merit, "accuracy", images=100) == 1
    assert select(error, macs, merit, "robust", images=100) == 2
    assert select(error, macs, merit, "smallest", images=100) == 2


def test_accuracy_takes_the_flatter_of_subnets_that_the_images_cannot_tell_apart() -> None:
    error, macs, merit = np.array([0.10, 0.12, 0.14]), np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.3])
    assert select(error, macs, merit, "accuracy", images=100) == 1  # one standard error is 0.03: 0.14 is out
    assert select(error, macs, merit, "accuracy", images=10_000) == 0


def test_the_terms_of_an_objective_follow_its_kind() -> None:
    flat = tuple(Flatness(name, r, 0, 1) for name, r in (("gaussian-0.05", 0.1), ("int8", 0.02), ("int4", 0.3)))
    measured = [Measured(SPACE.smallest, 0.2, flat, 0.4), Measured(SPACE.largest, 0.1, flat, 0.2)]
    cost = footprint(lower(SPACE, SPACE.smallest), load_profile("cortex-m7"))
    both = [Evaluation(m, cost) for m in measured]
    assert Objective(0.5, (0.05,)).terms(both).tolist() == [[0.1], [0.1]]
    assert Objective(0.5, (0.05,), kind="rounding").terms(both).tolist() == [[0.02, 0.3]] * 2
    corruptions = Objective(0.5, (0.05,), kind="corruptions")
    assert corruptions.terms(both).tolist() == [[0.1, 0.4], [0.1, 0.2]]
    # means: error 0.15, R 0.1, corruption error 0.3; so R counts 1.5 times and the other 0.5 times
    expected = [0.5 * 0.2 + 0.5 * (0.15 + 0.2) / 2, 0.5 * 0.1 + 0.5 * (0.15 + 0.1) / 2]
    assert corruptions.merits(both) == pytest.approx(expected)
    unknown = Evaluation(Measured(SPACE.smallest, 0.2, flat), cost)
    with pytest.raises(ValueError, match="under corruptions was not measured"):
        corruptions.terms([unknown])


@pytest.mark.parametrize(("alpha", "sigmas"), [(0.0, (0.05,)), (1.1, (0.05,)), (0.5, (0.0,)), (0.5, (2.0,)), (0.5, ())])
def test_an_objective_out_of_range_is_refused(alpha: float, sigmas: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        Objective(alpha, sigmas)


@pytest.mark.parametrize("target", ["cortex-m4", "rp2040", "raspberry-pi-4"])
def test_only_feasible_subnets_are_evaluated_and_selected(target: str) -> None:
    profile = load_profile(target)
    last = run(profile, 24, seed=1)[-1]
    assert len(last.evaluations) >= 24
    for evaluation in last.evaluations:
        assert max(excess(evaluation.footprint, profile.budget).values()) <= 0
    check_selection(last.evaluations, images=1000)


def test_a_tight_sram_budget_does_not_hide_the_nets_that_use_the_others() -> None:
    budget = {"macs": "12.5M", "params": "70K", "flash_bytes": "98kB", "sram_bytes": "60kB", "latency_ms": "1000ms"}
    profile = load_profile("cortex-m7", {f"budget.{resource}": limit for resource, limit in budget.items()})
    plan = Plan(initial=40, batch=1, evaluations=40, most=40)
    first = run(profile, 40, seed=0, plan=plan)[0].evaluations
    assert max(e.footprint.macs for e in first) > 5e6
    assert {e.arch.resolution for e in first} == set(SPACE.resolutions)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0.0, 1.0))
def test_under_any_budget_a_feasible_subnet_is_selected_if_there_is_one(seed: int, share: float) -> None:
    rng, profile = np.random.default_rng(seed), load_profile("cortex-m7")
    costs = [footprint(lower(SPACE, SPACE.sample_by_size(rng)), profile) for _ in range(2)]
    tight = {
        "budget.macs": str(max(int(share * costs[0].macs), 1)),
        "budget.sram_bytes": f"{min(costs[1].sram_bytes, profile.budget.sram_bytes)}B",
        "budget.params": str(costs[rng.integers(2)].params),
    }
    profile = load_profile("cortex-m7", tight)
    fits = max(excess(footprint(lower(SPACE, SPACE.smallest), profile), profile.budget).values()) <= 0
    if not fits:
        with pytest.raises(ValueError, match="no subnet of the space meets the budgets"):
            run(profile, 8, 0)
        return
    evaluations = run(profile, 12, seed % 1000)[-1].evaluations
    assert all(max(excess(e.footprint, profile.budget).values()) <= 0 for e in evaluations)
    check_selection(evaluations, images=1000)


def check_selection(evaluations: Sequence[Evaluation], images: int) -> None:
    """Each selection against its definition, by looking at every subnet."""
    merits = dict(zip((e.arch for e in evaluations), OBJECTIVE.merits(evaluations), strict=True))

    def dominated(a: Evaluation) -> bool:
        points = [(merits[e.arch], e.footprint.macs) for e in (a, *evaluations)]
        return any(b[0] <= points[0][0] and b[1] <= points[0][1] and b != points[0] for b in points[1:])

    front = [e for e in evaluations if not dominated(e)]
    least = min(e.clean_error for e in evaluations)
    tied = [e for e in evaluations if e.clean_error <= least + (least * (1 - least) / images) ** 0.5]
    accurate = select_from(evaluations, OBJECTIVE, "accuracy", images)
    assert merits[accurate.arch] == min(merits[e.arch] for e in tied)
    robust = select_from(evaluations, OBJECTIVE, "robust", images)
    assert merits[robust.arch] == min(merits.values())
    assert select_from(evaluations, OBJECTIVE, "smallest", images).footprint.macs == min(
        e.footprint.macs for e in front
    )
    assert select_from(evaluations, OBJECTIVE, "knee", images) in front


def test_the_knee_is_of_the_front_and_not_of_all_points() -> None:
    rng = np.random.default_rng(0)

    def point(error: float, macs: int) -> Evaluation:
        cost = replace(footprint(lower(SPACE, SPACE.smallest), load_profile("cortex-m7")), macs=macs)
        return Evaluation(Measured(SPACE.sample(rng), error, (Flatness("gaussian-0.05", 0.1, 0, 1),)), cost)

    front = [point(0.0, 1000), point(0.4, 500), point(0.9, 0)]  # shares of both spans: 1, 0.44 + 0.5, 1
    far = point(1.0, 10_000)  # dominated; with it in the spans, the first one would be the knee
    clean = Objective(1.0, (0.05,))
    assert select_from([*front, far], clean, "knee", images=1000) == front[1]


def test_the_same_seed_searches_the_same_subnets_and_each_once() -> None:
    profile = load_profile("cortex-m7")
    seen: list[Arch] = []

    def noted(arch: Arch) -> Measured:
        seen.append(arch)
        return pretended(arch)

    first = run(profile, 20, seed=3, evaluate=noted)
    assert len(seen) == len(set(seen)) == len(first[-1].evaluations)
    assert [e.arch for e in run(profile, 20, seed=3)[-1].evaluations] == seen
    assert [e.arch for e in run(profile, 20, seed=4)[-1].evaluations] != seen


def test_a_pool_measures_the_same_search() -> None:
    from concurrent.futures import ThreadPoolExecutor

    profile = load_profile("cortex-m7")
    with ThreadPoolExecutor(2) as pool:
        elsewhere = run(profile, 12, seed=5, mapper=pool.map)
    assert elsewhere == run(profile, 12, seed=5)


def test_surrogates_propose_where_they_rank_well_and_are_not_asked_where_they_do_not() -> None:
    profile = load_profile("cortex-m7")
    learnable = run(profile, 32, seed=0)
    assert learnable[0].proposer == "random"
    assert learnable[-1].kendall_tau is not None
    assert learnable[-1].kendall_tau > 0.5
    assert learnable[-1].proposer not in ("random", "nsga2")

    def noise(arch: Arch) -> Measured:
        error, r = np.random.default_rng(abs(hash(arch))).uniform(0.1, 0.6, 2)
        return Measured(arch, error, (Flatness("gaussian-0.05", r, r, r),))

    assert "nsga2" in {g.proposer for g in run(profile, 32, seed=0, evaluate=noise)}


def test_a_search_that_finds_nothing_better_stops_between_its_limits() -> None:
    profile = load_profile("cortex-m7")

    def equal(arch: Arch) -> Measured:
        return Measured(arch, 0.3, (Flatness("gaussian-0.05", 0.1, 0.1, 0.1),))

    plan = Plan(initial=8, batch=4, evaluations=12, most=60, population=8, generations=2)
    last = run(profile, 12, seed=0, evaluate=equal, plan=plan)[-1]
    assert 12 <= len(last.evaluations) < 60


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
    assert front_of(generations[-1].evaluations, OBJECTIVE) == front


def test_the_search_beats_four_times_as_many_random_subnets() -> None:
    profile = load_profile("cortex-m7")
    candidates = [a for a in (SPACE.sample_by_size(np.random.default_rng(i)) for i in range(1500)) if fits(a, profile)]
    found, random = [], []
    for seed in range(3):
        found.append(run(profile, 48, seed, plan=Plan(initial=24, batch=8, evaluations=48, most=48))[-1].hypervolume)
        picked = np.random.default_rng(seed).choice(len(candidates), 4 * 48, replace=False)
        sampled = [
            Evaluation(pretended(candidates[i]), footprint(lower(SPACE, candidates[i]), profile)) for i in picked
        ]
        random.append(hypervolume(sampled, OBJECTIVE, profile.budget.macs))
    assert np.median(found) > np.median(random)


def test_a_search_refines_its_most_accurate_subnet_where_random_ones_hardly_fit() -> None:
    tight = {"runtime": "tflm", "budget.params": "66K", "budget.flash_bytes": "98496B", "budget.sram_bytes": "60kB"}
    profile = load_profile("cortex-m7", tight)
    plan = Plan(initial=24, batch=8, evaluations=64, most=64, population=24, generations=6)
    last = run(profile, 64, seed=0, plan=plan)[-1]
    random = run(profile, 192, seed=1, plan=Plan(initial=192, batch=1, evaluations=192, most=192))[-1]
    assert min(e.clean_error for e in last.evaluations) < min(e.clean_error for e in random.evaluations)
    assert last.hypervolume > random.hypervolume


def test_every_value_of_every_gene_is_reached() -> None:
    """By the operators alone: all start as the smallest subnet or one that differs in its resolution."""
    free = footprint(lower(SPACE, SPACE.smallest), load_profile("raspberry-pi-4"))
    candidates = Candidates(SPACE, lambda arch: free, lambda c: (-1.0,), seed=0)
    start = [replace(SPACE.smallest, resolution=side) for side in SPACE.resolutions]
    algorithm, reached = nsga2(candidates, start), []
    for generation in range(400):
        asked = algorithm.ask()
        reached.append(asked.get("X"))
        archs = [SPACE.decode(code) for code in asked.get("X")]
        newer_is_better = np.full((len(archs), 2), -float(generation))
        tell(algorithm, asked, newer_is_better, candidates, archs)
    for values, choices in zip(np.concatenate(reached).T, SPACE.genes, strict=True):
        assert set(values.tolist()) == set(range(len(choices)))


def test_a_feasible_subnet_survives_better_infeasible_ones() -> None:
    profile, rng = load_profile("cortex-m7"), np.random.default_rng(3)
    candidates = Candidates(
        SPACE,
        lambda arch: footprint(lower(SPACE, arch), profile),
        lambda cost: tuple(excess(cost, profile.budget).values()),
        seed=0,
    )
    archs = list(dict.fromkeys(SPACE.sample_by_size(rng) for _ in range(60)))
    within = [arch for arch in archs if fits(arch, profile)][:4]
    beyond = [arch for arch in archs if not fits(arch, profile)][:4]
    algorithm, seen = nsga2(candidates, [*within, *beyond]), set[Arch]()
    for _ in range(2):
        asked = algorithm.ask()
        generation = [SPACE.decode(code) for code in asked.get("X")]
        better_where_infeasible = np.array([[1.0, 1.0] if fits(arch, profile) else [0.1, 0.1] for arch in generation])
        tell(algorithm, asked, better_where_infeasible, candidates, generation)
        seen |= set(generation)
    feasible = {arch for arch in seen if fits(arch, profile)}
    survivors = {SPACE.decode(code) for code in algorithm.pop.get("X")}
    assert len(survivors) == 8
    assert survivors >= feasible if len(feasible) <= 8 else survivors <= feasible


def test_budgets_below_the_smallest_subnet_are_refused() -> None:
    with pytest.raises(ValueError, match="no subnet of the space meets the budgets"):
        run(load_profile("cortex-m7", {"budget.macs": "1000"}), 10, seed=0)
