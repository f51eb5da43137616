from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from flatnas.data.dataset import Dataset, Images
from hardware_profiles.profile import load_profile
from pipeline.config import RunConfig
from pipeline.errors import PipelineError
from pipeline.files import read_json, write_bytes, write_json
from pipeline.layers import changed, configured
from pipeline.progress import Reporter
from pipeline.runs.facts import Origin
from pipeline.runs.manifest import artifacts_in
from pipeline.runs.runner import adopt, run_stages
from pipeline.runs.stage import Stage, StageContext

IMAGES = Images(np.zeros((2, 8, 8, 3), np.uint8), np.arange(2))
DATA = Dataset("tiny", ("a", "b"), IMAGES, IMAGES, IMAGES, "digest")
CONFIG, M7 = configured({"target": "cortex-m7", "dataset": "tiny"}), load_profile("cortex-m7")


@dataclass(frozen=True, slots=True)
class Seeded:
    seed: int


@dataclass(frozen=True, slots=True)
class Selecting:
    select: str


@dataclass(frozen=True, slots=True)
class Naming:
    select: str
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


class Flow:
    """Three stages that count how often they ran: one -> two -> three, and `two` depends on the selection."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fail_in = ""
        self.stages: tuple[Stage[Any], ...] = (
            Stage("one", (), ("a.txt",), Seeded, self.write("one", "a.txt", lambda s: str(s.seed))),
            Stage("two", ("a.txt",), ("b.txt",), Selecting, self.write("two", "b.txt", lambda s: s.select)),
            Stage("three", ("b.txt",), ("c.txt",), Nothing, self.write("three", "c.txt", lambda s: "constant")),
        )

    def write(self, name: str, file: str, content: Callable[[Any], str]) -> Callable[[StageContext[Any]], None]:
        def run(context: StageContext[Any]) -> None:
            self.ran.append(name)
            (context.work / "checkpoint").write_text("half")
            if self.fail_in == name:
                raise KeyboardInterrupt
            write_bytes(context.path(file), content(context.settings).encode())

        return run

    def __call__(self, directory: Path, config: RunConfig = CONFIG, data: Dataset = DATA) -> list[str]:
        self.ran.clear()
        run_stages(self.stages, directory, Origin(config, M7, data), Reporter(Console(quiet=True)))
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
    assert flow(tmp_path, changed(CONFIG, {"select": "knee"})) == ["two", "three"]
    assert flow(tmp_path, changed(CONFIG, {"select": "knee", "seed": 1})) == [
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
    other = changed(CONFIG, {"select": "knee"})
    flow.fail_in = "two"
    with pytest.raises(KeyboardInterrupt):
        flow(tmp_path, other)
    assert not (tmp_path / "manifest.json").exists()
    flow.fail_in = ""
    flow(tmp_path, other)
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
        (configured({"target": "rp2040", "dataset": "tiny"}), DATA, "holds a run of target 'cortex-m7', not 'rp2040'"),
        (configured({"target": "cortex-m7", "dataset": "other"}), DATA, "holds a run of dataset 'tiny', not 'other'"),
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

    def meddle(context: StageContext[Any]) -> None:
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
    flow.stages = (one, replace(two, settings=Naming), three)
    flow(tmp_path)
    renamed = Dataset("tiny", ("a", "c"), IMAGES, IMAGES, IMAGES, "digest")
    assert flow(tmp_path, data=renamed) == ["two"]


def test_a_damaged_record_of_a_run_is_one_line(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(PipelineError, match=r"run.json is damaged: it is no JSON; restore it, or delete"):
        flow(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(
        PipelineError,
        match=r"run.json is damaged, or of another version .*it is missing",
    ):
        flow(tmp_path)


def test_stages_know_where_the_user_keeps_data(tmp_path: Path) -> None:
    seen: list[Path | None] = []
    stage = Stage("look", (), (), Nothing, lambda context: seen.append(context.data_dir))
    for name, data_dir in (("a", Path("kept")), ("b", None)):
        run_stages([stage], tmp_path / name, Origin(CONFIG, M7, DATA, data_dir), Reporter(Console(quiet=True)))
    assert seen == [Path("kept"), None]


def test_only_a_stage_that_says_so_sees_test_images(tmp_path: Path) -> None:
    seen: list[int] = []
    for opens in (False, True):
        stage = Stage("look", (), (), Nothing, lambda context: seen.append(len(context.data.test)), opens)
        run_stages([stage], tmp_path / str(opens), Origin(CONFIG, M7, DATA), Reporter(Console(quiet=True)))
    assert seen == [0, 2]


def test_a_stage_touches_only_what_it_declares(flow: Flow, tmp_path: Path) -> None:
    def meddle(context: StageContext[Any]) -> None:
        context.path("c.txt")

    flow.stages = (replace(flow.stages[0], run=meddle),)
    with pytest.raises(ValueError, match=r"'c\.txt' is none of the files that this stage declares: a\.txt"):
        flow(tmp_path)


def test_what_an_earlier_run_wrote_is_gone_when_a_stage_no_longer_writes_it(flow: Flow, tmp_path: Path) -> None:
    def write_once(context: StageContext[Any]) -> None:
        if context.settings.seed == 0:
            write_bytes(context.path("a.txt"), b"0")

    flow.stages = (replace(flow.stages[0], run=write_once),)
    flow(tmp_path)
    assert (tmp_path / "a.txt").exists()
    flow(tmp_path, changed(CONFIG, {"seed": 1}))
    assert not (tmp_path / "a.txt").exists()
    assert "a.txt" not in read_json(tmp_path / "manifest.json")


def test_an_adopted_stage_is_kept_and_the_run_remembers_why(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    knee = Origin(changed(CONFIG, {"select": "knee"}), M7, DATA)
    adopt(flow.stages, tmp_path, knee, "two", "the same by another name")
    assert flow(tmp_path, knee.config) == []
    (remembered,) = read_json(tmp_path / "run.json")["adopted"]
    assert (remembered["stage"], remembered["because"]) == ("two", "the same by another name")
    assert read_json(tmp_path / "manifest.json") == {a.path: a.sha256 for a in artifacts_in(tmp_path)}
    assert flow(tmp_path) == ["two"]  # the key is that of the other selection now


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("tow", "", r"no stage 'tow'; did you mean 'two'\?"),
        ("two", "", "stage 'two' of .* holds as it is: there is nothing to adopt"),
        ("two", "b.txt", "the files of stage 'two' in .* are not those that it wrote"),
    ],
)
def test_what_cannot_be_adopted_says_why(flow: Flow, tmp_path: Path, name: str, damage: str, message: str) -> None:
    flow(tmp_path)
    if damage:
        (tmp_path / damage).write_text("tampered")
    with pytest.raises(PipelineError, match=message):
        adopt(flow.stages, tmp_path, Origin(CONFIG, M7, DATA), name, "why")


def test_a_kept_stage_of_another_version_says_so(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    saved = read_json(tmp_path / "run.json")
    for stage in saved["stages"]:
        stage["versions"]["numpy"] = "1.26.0"
    write_json(tmp_path / "run.json", saved)
    told = f"made with numpy 1.26.0, here {np.__version__}"
    for config, redone in ((CONFIG, []), (changed(CONFIG, {"select": "knee"}), ["two", "three"])):
        out = StringIO()
        flow.ran.clear()
        run_stages(flow.stages, tmp_path, Origin(config, M7, DATA), Reporter(Console(file=out, width=200)))
        assert flow.ran == redone
        assert out.getvalue().count(told) == 1
    numpy = {stage["name"]: stage["versions"]["numpy"] for stage in read_json(tmp_path / "run.json")["stages"]}
    assert numpy == {"one": "1.26.0", "two": np.__version__, "three": np.__version__}


@pytest.mark.parametrize(
    "change",
    [
        {"shift": 3},
        {"mirrors": False},
        {"train": Images(IMAGES.pixels_nhwc[:1], IMAGES.labels[:1])},
        {"val": Images(IMAGES.pixels_nhwc[:1], IMAGES.labels[:1])},
    ],
)
def test_what_a_training_may_do_to_images_and_how_they_are_split_is_in_the_key(
    flow: Flow, tmp_path: Path, change: dict[str, Any]
) -> None:
    flow(tmp_path)
    assert flow(tmp_path, data=replace(DATA, **change)) == ["one", "two", "three"]


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


def test_what_a_kill_left_of_a_file_is_removed_and_hidden_files_of_others_are_not(flow: Flow, tmp_path: Path) -> None:
    flow(tmp_path)
    (tmp_path / "manifest.json").unlink()
    left = [tmp_path / ".run.json.0a1b2c3d", tmp_path / "model/.model.c.deadbeef"]
    others = [tmp_path / ".gitignore", tmp_path / ".notes.txt.backup"]
    for path in (*left, *others):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{")
        os.utime(path, (4e9, 4e9))  # a clock that was moved back since
    flow(tmp_path)
    assert [path.exists() for path in (*left, *others)] == [False, False, True, True]
