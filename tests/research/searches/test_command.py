"""`python -m research.searches`: what it writes and refuses; measurements are pretended, all else is real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("pymoo")

import flatnas.data.registry
import pipeline.evaluations
from flatnas.data.dataset import Dataset, Images
from flatnas.search.measured import Flatness, Measured
from flatnas.space.arch import Arch
from flatnas.space.spaces import mcu_space
from pipeline.cli import pipeline as pipeline_command
from pipeline.errors import PipelineError
from research.searches.__main__ import searches as command

SPACE = mcu_space(10)
NOTHING = Images(np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, np.int64))
DATA = Dataset("cifar10", tuple("abcdefghij"), NOTHING, NOTHING, NOTHING, "0")


def pretended(arch: Arch) -> Measured:
    error = float(0.5 - 0.1 * SPACE.encode(arch).mean())
    return Measured(arch, error, (Flatness("gaussian-0.05", error / 10, 0.0, 1.0),))


def test_every_seed_is_told_and_the_medians_are_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatnas.data.registry, "load_dataset", lambda *_: DATA)
    monkeypatch.setattr(pipeline.evaluations, "stored_evaluator", lambda *_, **__: pretended)
    arguments = ["--target", "cortex-m7", "--preset", "quick", "--times", "2", "--seeds", "2", "--out", str(tmp_path)]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "seed 1: search" in result.output
    written = json.loads((tmp_path / "search-against-random.json").read_text())
    assert written["preset"] == "quick"
    assert [(m["searched"], m["random"]) for m in written["matches"]] == [(20, 40), (20, 40)]
    errors = [m["random_error"] for m in written["matches"]]
    assert written["median"]["random_error"] == pytest.approx(np.mean(errors))  # of two
    assert all(0 < error < 0.5 for error in errors)
    assert CliRunner().invoke(pipeline_command, ["verify", str(tmp_path)]).exit_code == 0


def test_a_study_of_two_targets_is_refused(tmp_path: Path) -> None:
    arguments = ["--target", "cortex-m7,cortex-m4", "--out", str(tmp_path / "study")]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, PipelineError)
    assert "a study is of one target" in str(result.exception)
    assert not (tmp_path / "study").exists()
