from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import pipeline.evaluations as module
from flatnas.evaluation import Flatness, Measured
from flatnas.spaces import mcu_space
from pipeline.evaluations import EvaluationStore

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
