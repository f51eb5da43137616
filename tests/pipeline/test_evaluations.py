from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import pipeline.evaluations as module
from flatnas.data.dataset import Dataset
from flatnas.data.registry import load_dataset
from flatnas.nets.supernet_file import read_space
from flatnas.search.measured import Flatness, Measured
from flatnas.search.search import Evaluate, Plan, search
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import load_profile
from pipeline.evaluations import EvaluationStore, stored_evaluator, watched
from pipeline.layers import configured
from pipeline.runs.facts import Origin
from pipeline.runs.stage import settings_from
from pipeline.searching import Searching
from pipeline.shipped import shipped_supernet

SPACE = mcu_space(10)
MEASURED = Measured(SPACE.smallest, 1 / 3, (Flatness("gaussian-0.05", 0.1, 0.05, 0.2), Flatness("int8", 0.0, 0.0, 0.0)))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "user_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_a_measurement_is_read_back_exactly_and_only_by_what_would_measure_the_same(
    cache: Path, tmp_path: Path
) -> None:
    EvaluationStore({"data": "a"}, fallback=tmp_path).add(MEASURED)
    assert EvaluationStore({"data": "a"}, fallback=tmp_path).get(SPACE.smallest) == MEASURED
    assert EvaluationStore({"data": "a"}, fallback=tmp_path).get(SPACE.largest) is None
    assert EvaluationStore({"data": "b"}, fallback=tmp_path).get(SPACE.smallest) is None


def test_a_line_that_a_kill_cut_off_costs_only_itself(cache: Path, tmp_path: Path) -> None:
    store = EvaluationStore({}, fallback=tmp_path)
    store.add(MEASURED)
    (path,) = (cache / "evaluations").iterdir()
    path.write_text(path.read_text() + '{"arch": {"resol')
    largest = Measured(SPACE.largest, 0.2, ())
    EvaluationStore({}, fallback=tmp_path).add(largest)
    again = EvaluationStore({}, fallback=tmp_path)
    assert (again.get(SPACE.smallest), again.get(SPACE.largest)) == (MEASURED, largest)


def test_where_the_cache_cannot_be_written_the_run_keeps_its_own(cache: Path, tmp_path: Path) -> None:
    cache.write_text("a file where the cache should be")
    EvaluationStore({}, fallback=tmp_path / "work").add(MEASURED)
    assert EvaluationStore({}, fallback=tmp_path / "work").get(SPACE.smallest) == MEASURED


def searching(data: Dataset) -> Searching:
    config = configured({"target": "cortex-m7", "preset": "quick", "dataset": "digits"})
    return settings_from(Searching, Origin(config, load_profile("cortex-m7"), data).value_of)


def test_a_search_for_a_second_target_measures_nothing_that_the_first_one_measured(cache: Path, tmp_path: Path) -> None:
    data = load_dataset("digits", None)
    with shipped_supernet() as supernet:
        space = read_space(supernet)
    calls = list[Arch]()

    def measure(arch: Arch) -> Measured:
        calls.append(arch)
        error = 0.1 + 0.5 / (1 + sum(op.weights for op in lower(space, arch)) / 1e5)
        return Measured(arch, error, (Flatness("gaussian-0.05", error / 2, error / 3, error),))

    quick = searching(data)
    plan = Plan(initial=8, batch=4, evaluations=12, most=12, population=20, generations=5)
    asked: list[set[Arch]] = []
    for name in ("cortex-m7", "cortex-m4"):
        profile = load_profile(name)
        evaluate = stored_evaluator(quick.measurement, lambda *_: measure, supernet, data, fallback=tmp_path)
        asked.append(set())

        def seen(arch: Arch, evaluate: Evaluate = evaluate) -> Measured:
            asked[-1].add(arch)
            return evaluate(arch)

        for _ in search(
            space,
            lambda arch, profile=profile: footprint(lower(space, arch), profile),  # type: ignore[misc]
            lambda cost, profile=profile: tuple(excess(cost, profile.budget).values()),  # type: ignore[misc]
            seen,
            plan=plan,
            objective=quick.judging.merit,
            macs_budget=profile.budget.macs,
            seed=0,
        ):
            pass
    assert len(calls) == len(set(calls)) == len(asked[0] | asked[1])
    assert asked[0] & asked[1]  # else there was nothing to share


def test_what_a_run_measures_by_can_be_mapped_by_a_process_pool(cache: Path, tmp_path: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    data = load_dataset("digits", None)
    data = replace(data, train=data.train.subset(64), val=data.val.subset(32))
    shown: list[Arch] = []
    with shipped_supernet() as supernet:
        by = searching(data)
        evaluate = stored_evaluator(by.measurement, by.evaluator, supernet, data, fallback=tmp_path)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            mapped = watched(lambda measured: shown.append(measured.arch), pool.map)
            (elsewhere,) = mapped(evaluate, [SPACE.smallest])
        again = stored_evaluator(by.measurement, by.evaluator, supernet, data, fallback=tmp_path)
    assert shown == [SPACE.smallest]
    assert again.store.get(SPACE.smallest) == elsewhere  # type: ignore[attr-defined]
