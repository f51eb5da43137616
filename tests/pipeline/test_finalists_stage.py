"""Finalists are trained before one is selected; a run that is killed between two of them keeps the first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("torch")

from flatnas.data.dataset import Dataset, Images
from flatnas.data.registry import load_dataset
from flatnas.nets.supernet_file import serialize_supernet
from flatnas.search.measured import Evaluation, Flatness, Measured
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from flatnas.training.supernet_training import new_supernet
from hardware_profiles.footprint import footprint
from hardware_profiles.profile import load_profile
from pipeline.config import RunConfig
from pipeline.files import read_json, write_bytes, write_json
from pipeline.layers import changed, configured
from pipeline.progress import Reporter
from pipeline.runs.facts import Origin
from pipeline.runs.runner import run_stages
from pipeline.runs.stage import settings_from
from pipeline.stages import finalists, select
from pipeline.values import plain

PROFILE = load_profile("cortex-m7")
CONFIG = configured({"target": "cortex-m7", "dataset": "digits", "preset": "quick", "finalist_epochs": 1})


class Watched(Reporter):
    """Counts the trainings, and is interrupted in one of them."""

    def __init__(self, interrupted: int = 0) -> None:
        super().__init__(Console(quiet=True))
        self.trainings, self.interrupted = 0, interrupted

    @contextmanager
    def track(self, title: str) -> Iterator[Callable[[int, int, str], None]]:
        self.trainings += 1

        def advance(done: int, total: int, note: str = "") -> None:
            if self.trainings == self.interrupted:
                raise KeyboardInterrupt

        yield advance


@pytest.fixture(scope="module")
def data(unseen: Images) -> Dataset:
    return replace(load_dataset("digits", None), test=unseen)


def searched(directory: Path, data: Dataset) -> None:
    """What a search of two subnets leaves behind; the one of the lower resolution is the better one by its weights."""
    identity = {"target": CONFIG.target, "dataset": CONFIG.data.dataset, "data_sha256": data.content_sha256}
    write_json(directory / "run.json", {"identity": identity, "stages": []})
    space = mcu_space(len(data.class_names), data.resolution)
    write_bytes(directory / "search/supernet.safetensors", serialize_supernet(new_supernet(space, 0)))
    lines = []
    for resolution, error in ((space.resolutions[0], 0.5), (space.resolutions[-1], 0.6)):
        arch = replace(space.smallest, resolution=resolution)
        measured = Measured(arch, error, (Flatness("gaussian-0.05", 0.1, 0.1, 0.1),))
        record = Evaluation(measured, footprint(lower(space, arch), PROFILE))
        lines.append(json.dumps(plain(record)))
    write_bytes(directory / "search/evaluations.jsonl", "\n".join(lines).encode())


def stages_of(directory: Path, config: RunConfig, data: Dataset, reporter: Reporter) -> None:
    run_stages((finalists.STAGE, select.STAGE), directory, Origin(config, PROFILE, data), reporter)


def test_the_finalist_that_errs_least_after_its_training_is_selected(tmp_path: Path, data: Dataset) -> None:
    searched(tmp_path, data)
    stages_of(tmp_path, CONFIG, data, Watched())
    found = read_json(tmp_path / "search/finalists.json")
    assert [f["inherited_error"] for f in found] == [0.5, 0.6]
    assert all(0 < f["trained_error"] < 0.95 for f in found)
    best = min(found, key=lambda f: f["trained_error"])
    assert read_json(tmp_path / "model/arch.json") == best["arch"]


def test_a_run_killed_in_the_second_training_keeps_the_first(tmp_path: Path, data: Dataset) -> None:
    searched(tmp_path, data)
    with pytest.raises(KeyboardInterrupt):
        stages_of(tmp_path, CONFIG, data, Watched(interrupted=2))
    again = Watched()
    stages_of(tmp_path, CONFIG, data, again)
    assert again.trainings == 1
    whole = tmp_path / "whole"
    searched(whole, data)
    stages_of(whole, CONFIG, data, Watched())
    assert read_json(whole / "search/finalists.json") == read_json(tmp_path / "search/finalists.json")


def test_a_killed_finalist_goes_on_with_another_optimizer_which_it_does_not_use(data: Dataset) -> None:
    settings = []
    for optimizer in ("sam", "asam", "sgd"):
        origin = Origin(changed(CONFIG, {"optimizer": optimizer}), PROFILE, data)
        settings.append(settings_from(finalists.STAGE.settings, origin.value_of))
    assert len(set(settings)) == 1
    assert settings[0].finetuning.recipe(data).rho == 0


@pytest.mark.parametrize("changes", [{"finalist_epochs": 0}])
def test_without_finalists_the_search_itself_decides(tmp_path: Path, data: Dataset, changes: dict[str, object]) -> None:
    searched(tmp_path, data)
    watched = Watched()
    stages_of(tmp_path, changed(CONFIG, changes), data, watched)
    assert watched.trainings == 0
    assert read_json(tmp_path / "search/finalists.json") == []
    assert read_json(tmp_path / "model/arch.json")["resolution"] == mcu_space(10, data.resolution).resolutions[0]
