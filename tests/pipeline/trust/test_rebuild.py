"""`verify --rebuild`: a run made again has the same bytes, or the stage is named that made others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

from hardware_profiles.profile import load_profile
from pipeline.cli import pipeline
from pipeline.errors import PipelineError
from pipeline.files import read_json, write_bytes, write_json
from pipeline.layers import configured
from pipeline.progress import Reporter
from pipeline.run_data import load_data
from pipeline.runs.facts import Origin
from pipeline.runs.runner import run_stages
from pipeline.runs.stage import Stage, StageContext
from pipeline.trust.rebuild import rebuilt_differently

QUIET = Reporter(Console(quiet=True))


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


def stages(planted: dict[str, bytes]) -> tuple[Stage[Any], ...]:
    """Two stages: the second one's file holds the first one's."""

    def first(context: StageContext[Any]) -> None:
        write_bytes(context.path("model/a"), planted.get("a", b"a") + context.data.content_sha256.encode())

    def second(context: StageContext[Any]) -> None:
        write_bytes(context.path("b"), planted.get("b", b"b") + context.path("model/a").read_bytes())

    return (
        Stage("first", (), ("model/a",), Nothing, first),
        Stage("second", ("model/a",), ("b",), Nothing, second),
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, value in (("dark", 20), ("light", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(12):
            Image.new("RGB", (16, 16), (value, value, i)).save(tmp_path / "pictures" / name / f"{i}.png")
    return tmp_path / "pictures"


@pytest.fixture
def run(tmp_path: Path, pictures: Path) -> Path:
    config = configured({"target": "cortex-m7", "dataset": str(pictures)})
    origin = Origin(config, load_profile("cortex-m7"), load_data(config, None))
    run_stages(stages({}), tmp_path / "run", origin, QUIET)
    return tmp_path / "run"


def test_a_run_made_again_has_the_same_bytes(run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    assert rebuilt_differently(stages({}), run, QUIET) == []
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before


def test_the_stages_that_make_other_files_are_named_with_them(run: Path) -> None:
    assert rebuilt_differently(stages({"a": b"x"}), run, QUIET) == [
        "made again, stage 'first' differs in model/a",
        "made again, stage 'second' differs in b",
    ]
    assert rebuilt_differently(stages({"b": b"x"}), run, QUIET) == ["made again, stage 'second' differs in b"]


def test_stages_before_the_named_one_are_believed(run: Path) -> None:
    assert rebuilt_differently(stages({"a": b"x"}), run, QUIET, start="second") == []
    with pytest.raises(PipelineError, match="no stage 'secund'; did you mean 'second'"):
        rebuilt_differently(stages({}), run, QUIET, start="secund")


def test_another_version_is_named_as_a_reason(run: Path) -> None:
    record = read_json(run / "run.json")
    for stage in record["stages"]:
        stage["versions"]["numpy"] = "1.0"
    write_json(run / "run.json", record)
    (line,) = rebuilt_differently(stages({"b": b"x"}), run, QUIET)
    assert line.startswith("made again, stage 'second' differs in b (made with numpy 1.0, here ")


def test_it_computes_with_as_many_threads_as_the_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before, asked = torch.get_num_threads(), list[int]()
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    record = read_json(run / "run.json")
    for stage in record["stages"]:
        stage["versions"]["threads"] = "3"
    write_json(run / "run.json", record)
    rebuilt_differently(stages({}), run, QUIET)
    assert asked == [3]
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert torch.get_num_threads() == before


def test_pictures_that_moved_are_named_and_others_are_refused(run: Path, pictures: Path) -> None:
    moved = pictures.rename(pictures.with_name("elsewhere"))
    assert rebuilt_differently(stages({}), run, QUIET, dataset=str(moved)) == []
    Image.new("RGB", (16, 16), (7, 7, 7)).save(moved / "dark/0.png")
    with pytest.raises(PipelineError, match=r"elsewhere' are not what .* was made of"):
        rebuilt_differently(stages({}), run, QUIET, dataset=str(moved))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "audit"], "--from is for --rebuild"),
        (["--dataset", "x"], "--dataset is for --rebuild"),
        (["--rebuild", "--from", "ovdit"], "no stage 'ovdit'; did you mean 'audit'"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(pipeline, ["verify", "cifar10-tiny", *arguments], standalone_mode=False)
    assert message in str(done.exception)


def test_a_file_that_is_no_run_can_not_be_made_again(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"TFL3")
    arguments = ["verify", str(tmp_path / "model.tflite"), "--rebuild"]
    done = CliRunner().invoke(pipeline, arguments, standalone_mode=False)
    assert "is no run and no bundle" in str(done.exception)


def test_paths_that_a_record_tells_are_neither_read_nor_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    record = read_json(run / "run.json")
    record["stages"][0]["outputs"].append({"path": "../../secret", "sha256": "0" * 64})
    write_json(run / "run.json", record)
    lines = rebuilt_differently(stages({}), run, QUIET, start="second")
    assert lines == ["made again, stage 'first' differs in ../../secret"]
