from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from flatnas.data.dataset import Dataset, Images
from hardware_profiles.profile import load_profile
from pipeline.artifacts import artifacts_in, read_json, write_bytes
from pipeline.config import PipelineError, RunConfig
from pipeline.progress import Reporter
from pipeline.runner import Stage, StageContext, run_stages

IMAGES = Images(np.zeros((2, 8, 8, 3), np.uint8), np.arange(2))
DATA = Dataset("tiny", ("a", "b"), IMAGES, IMAGES, IMAGES, "digest")
CONFIG = RunConfig(target="cortex-m7", dataset="tiny")


class Flow:
    """Three stages that count how often they ran: one -> two -> three, and `two` depends on the selection."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fail_in = ""
        self.stages = (
            Stage(
                "one", (), ("a.txt",), lambda c, p: {"seed": c.seed}, self.write("one", "a.txt", lambda c: str(c.seed))
            ),
            Stage(
                "two",
                ("a.txt",),
                ("b.txt",),
                lambda c, p: {"select": c.select},
                self.write("two", "b.txt", lambda c: c.select),
            ),
            Stage("three", ("b.txt",), ("c.txt",), lambda c, p: {}, self.write("three", "c.txt", lambda c: "constant")),
        )

    def write(self, name: str, file: str, content: Callable[[RunConfig], str]) -> Callable[[StageContext], None]:
        def run(context: StageContext) -> None:
            self.ran.append(name)
            (context.work / "checkpoint").write_text("half")
            if self.fail_in == name:
                raise KeyboardInterrupt
            write_bytes(context.path(file), content(context.config).encode())

        return run

    def __call__(self, directory: Path, config: RunConfig = CONFIG, data: Dataset = DATA) -> list[str]:
        self.ran.clear()
        reporter = Reporter(Console(quiet=True))
        run_stages(self.stages, directory, config, load_profile("cortex-m7"), data, reporter)
        return list(self.ran)


@pytest.fixture
def flow() -> Flow:
    return Flow()


def test_a_finished_run_called_again_does_nothing(flow: Flow, tmp_path: Path) -> None:
    assert flow(tmp_path) == ["one", "two", "three"]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert flow(tmp_path) == []
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_one_changed_setting_redoes_only_what_it_touches(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    assert flow(tmp_path, CONFIG.model_copy(update={"select": "knee"})) == ["two", "three"]
    assert flow(tmp_path, CONFIG.model_copy(update={"select": "knee", "seed": 1})) == [
        "one",
        "two",
    ]  # c.txt's need is b.txt


def test_a_changed_or_missing_output_is_made_again(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    (tmp_path / "b.txt").write_text("tampered")
    assert flow(tmp_path) == ["two"]
    (tmp_path / "c.txt").unlink()
    assert flow(tmp_path) == ["three"]


def test_a_stopped_run_goes_on_where_it_stopped_and_keeps_its_checkpoint(flow: Flow, tmp_path: Path) -> None:
    flow.fail_in = "two"
    with pytest.raises(KeyboardInterrupt):
        flow(tmp_path)
    assert list((tmp_path / ".work").glob("two-*/checkpoint"))
    assert not (tmp_path / "manifest.json").exists()
    flow.fail_in = ""
    assert flow(tmp_path) == ["two", "three"]
    assert not (tmp_path / ".work").exists()


def test_a_manifest_never_outlives_the_files_it_is_about(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    changed = CONFIG.model_copy(update={"select": "knee"})
    flow.fail_in = "two"
    with pytest.raises(KeyboardInterrupt):
        flow(tmp_path, changed)
    assert not (tmp_path / "manifest.json").exists()
    flow.fail_in = ""
    flow(tmp_path, changed)
    assert read_json(tmp_path / "manifest.json") == {a.path: a.sha256 for a in artifacts_in(tmp_path)}


def test_what_a_kill_left_of_a_file_half_written_is_no_obstacle_and_no_result(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / ".run.json.x1y2").write_text("{")
    assert flow(tmp_path) == ["one", "two", "three"]
    assert set(read_json(tmp_path / "manifest.json")) == {"a.txt", "b.txt", "c.txt", "run.json"}


def test_the_manifest_lists_every_file_but_itself(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    assert set(read_json(tmp_path / "manifest.json")) == {"a.txt", "b.txt", "c.txt", "run.json"}


@pytest.mark.parametrize(
    ("config", "data", "message"),
    [
        (RunConfig(target="rp2040", dataset="tiny"), DATA, "holds a run of target 'cortex-m7', not 'rp2040'"),
        (RunConfig(target="cortex-m7", dataset="other"), DATA, "holds a run of dataset 'tiny', not 'other'"),
        (CONFIG, Dataset("tiny", ("a", "b"), IMAGES, IMAGES, IMAGES, "changed"), "holds a run of data_sha256 'digest'"),
    ],
)
def test_a_directory_of_another_run_is_left_alone(
    flow: Flow, tmp_path: Path, config: RunConfig, data: Dataset, message: str
) -> None:
    flow(tmp_path)
    with pytest.raises(PipelineError, match=message):
        flow(tmp_path, config, data)
    assert flow(tmp_path) == []


def test_a_directory_of_other_files_is_left_alone(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(PipelineError, match="holds other files and no run"):
        flow(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_path_that_cannot_be_a_directory_is_refused(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"can't write to .*; name another directory with --out"):
        flow(tmp_path / "file" / "run")


def test_a_directory_in_use_is_refused_and_free_again_afterwards(flow: Flow, tmp_path: Path) -> None:
    in_use: list[str] = []

    def meddle(context: StageContext) -> None:
        with pytest.raises(PipelineError, match="is in use by another process") as refused:
            Flow()(tmp_path)
        in_use.append(str(refused.value))
        write_bytes(context.path("a.txt"), b"0")

    first = flow.stages[0]
    flow.stages = (replace(first, run=meddle), *flow.stages[1:])
    assert flow(tmp_path) == ["two", "three"]
    assert len(in_use) == 1
    assert flow(tmp_path) == []
    assert ".lock" not in read_json(tmp_path / "manifest.json")


def test_a_renamed_class_redoes_what_writes_its_name_and_no_training(flow: Flow, tmp_path: Path) -> None:
    one, two, three = flow.stages
    flow.stages = (one, replace(two, names_classes=True), three)
    flow(tmp_path)
    renamed = Dataset("tiny", ("a", "c"), IMAGES, IMAGES, IMAGES, "digest")
    assert flow(tmp_path, data=renamed) == ["two"]


def test_a_damaged_record_of_a_run_is_one_line(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(PipelineError, match=r"run.json is damaged: it is no JSON; restore it, or delete"):
        flow(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(PipelineError, match=r"run.json is damaged: restore it, or delete"):
        flow(tmp_path)


def test_stages_know_where_the_user_keeps_data(tmp_path: Path) -> None:
    seen: list[Path | None] = []
    stage = Stage("look", (), (), lambda c, p: {}, lambda context: seen.append(context.data_dir))
    profile, reporter = load_profile("cortex-m7"), Reporter(Console(quiet=True))
    run_stages([stage], tmp_path / "a", CONFIG, profile, DATA, reporter, Path("kept"))
    run_stages([stage], tmp_path / "b", CONFIG, profile, DATA, reporter)
    assert seen == [Path("kept"), None]


def test_a_file_is_written_through_a_link_and_into_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_bytes(tmp_path / "link", b"1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"1"
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_bytes(tmp_path / "pipe", b"2")
    assert os.read(reading, 9) == b"2"
    assert (tmp_path / "pipe").is_fifo()
    os.close(reading)


def test_what_a_stage_finds_on_this_machine_counts_once_it_is_there(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    *others, last = flow.stages
    flow.stages = (*others, replace(last, finds=lambda data, data_dir: None))
    assert flow(tmp_path) == []  # nothing found: as before there was anything to find
    flow.stages = (*others, replace(last, finds=lambda data, data_dir: f"the archive of {data.name}"))
    assert flow(tmp_path) == ["three"]
    assert flow(tmp_path) == []
