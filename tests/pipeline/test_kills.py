"""A run that is killed ends, called again, with the same files as one that was left alone; wherever it was killed.

pytest -m slow tests/pipeline/test_kills.py          one run, killed in each of its stages
pytest -m campaign tests/pipeline/test_kills.py      100 kills and a SIGTERM in each stage: an hour of one core
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.flow import STAGES
from pipeline.runs.layout import MANIFEST, RUN, WORK
from pipeline.runs.runner import RunRecord
from pipeline.runs.timings import read_timings
from pipeline.values import read_value, write_value

ROOT = Path(__file__).parents[2]
NAMES = tuple(stage.name for stage in STAGES)
# each stage at least five times, those that write or call most more often: 100 in all
TIMES = dict.fromkeys(NAMES, 5) | {
    "supernet": 7,
    "search": 9,
    "finetune": 8,
    "quantize": 6,
    "firmware": 12,
    "parity": 10,
    "audit": 12,
    "report": 11,
}
CAMPAIGNS = [(name, number) for name, times in TIMES.items() for number in range(times)]
# files are synchronised just before they get their names
KILLER = """
import os, signal
last, synchronise, count = int(os.environ.pop("KILLED_AT_WRITE")), os.fsync, iter(range(1, 10**9))
def fsync(file):
    synchronise(file)
    if next(count) == last:
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
"""
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux's /proc")


@dataclass(frozen=True, slots=True)
class Place:
    """A run directory with a cache and a temporary folder of its own."""

    around: Path

    @property
    def out(self) -> Path:
        return self.around / "run"

    def start(self, *arguments: str, killed_at_write: int = 0) -> subprocess.Popen[bytes]:
        """The whole run, in a process of its own.

        Args:
            killed_at_write: of so many files written, the last one is not yet whole when the process kills itself.
        """
        (self.around / "tmp").mkdir(parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PIPELINE")}
        places = {"HOME": self.around, "XDG_CACHE_HOME": self.around / "cache", "TMPDIR": self.around / "tmp"}
        env = kept | {k: str(v) for k, v in places.items()} | {"PYTHONPATH": str(ROOT)}
        if killed_at_write:
            (self.around / "killer").mkdir(exist_ok=True)
            (self.around / "killer/sitecustomize.py").write_text(KILLER)
            env |= {
                "PYTHONPATH": f"{self.around / 'killer'}{os.pathsep}{ROOT}",
                "KILLED_AT_WRITE": str(killed_at_write),
            }
        config = arguments or ("--config", str(Path(__file__).with_name("campaign.toml")))
        command = [sys.executable, "-m", "pipeline", "run", "--target", "cortex-m7", "--offline", *config]
        return subprocess.Popen(
            [*command, "--out", str(self.out)],
            cwd=self.around,
            env=env,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
        )

    def finish(self, *arguments: str) -> None:
        """Run until the end; its counts are too small for its gates."""
        process = self.start(*arguments)
        _, told = process.communicate(timeout=900)
        assert process.returncode in (0, 1), told.decode()

    def manifest(self) -> dict[str, str]:
        content: dict[str, str] = json.loads((self.out / MANIFEST).read_text())
        return content

    def left_behind(self) -> list[str]:
        """What a finished run has no use for."""
        hidden = [p.name for p in self.out.rglob(".*") if p.name != ".lock"]
        return hidden + [p.name for p in (self.around / "tmp").iterdir()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that nobody disturbs."""
    pytest.importorskip("torch")
    place = Place(tmp_path_factory.mktemp("whole"))
    place.finish()
    return place


def begun(whole: Place, around: Path, stage: str) -> Place:
    """A run that has just finished the stages before one, and knows nothing that they kept in the cache."""
    place = Place(around)
    shutil.copytree(whole.out, place.out)
    (place.out / MANIFEST).unlink()
    record = read_value(RunRecord, place.out / RUN)
    index = NAMES.index(stage)
    for later in record.stages[index:]:
        for artifact in later.outputs:
            (place.out / artifact.path).unlink()
    write_value(place.out / RUN, replace(record, stages=record.stages[:index]))
    return place


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Wait for a condition; False where the process ended before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.001)
    return False


def stage_begins(place: Place, stage: str) -> bool:
    return any((place.out / WORK).glob(f"{stage}-*"))


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> float:
    """Send a signal and wait until nothing of the process is left; returns the seconds that took."""
    children = _descendants(process.pid)
    sent = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=60)
    while any(_runs(pid) for pid in children) and time.monotonic() - sent < 60:
        time.sleep(0.01)
    return time.monotonic() - sent


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [below for child in children for below in _descendants(child)]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_run_killed_in_each_stage_ends_with_the_same_files(whole: Place, tmp_path: Path) -> None:
    place, seconds = Place(tmp_path), read_timings(whole.out).stages
    for stage in NAMES:
        process = place.start()
        assert until(lambda stage=stage: stage_begins(place, stage), process), f"{stage} never began"  # type: ignore[misc]
        time.sleep(seconds[stage] / 2)
        stop(process, signal.SIGKILL)
    place.finish()
    assert place.manifest() == whole.manifest()
    assert place.left_behind() == []
    verify = [sys.executable, "-m", "pipeline", "verify", str(place.out), "--rebuild", "--from", "to_tflite"]
    subprocess.run(verify, check=True, cwd=ROOT)


@pytest.mark.campaign
@pytest.mark.parametrize(("stage", "number"), CAMPAIGNS)
def test_a_kill_at_any_moment_changes_nothing(whole: Place, tmp_path: Path, stage: str, number: int) -> None:
    """The odd ones while a file is being written, the even ones at a random moment; some twice."""
    rng = random.Random(f"{stage} {number}")
    place, seconds = begun(whole, tmp_path, stage), read_timings(whole.out).stages[stage]
    for _ in range(1 + number % 3 // 2):
        if number % 2:
            process = place.start(killed_at_write=rng.randint(1, 4))
            process.communicate(timeout=600)
            assert any(place.around.rglob(".*.????????")), "no file was being written"
        else:
            process = place.start()
            assert until(lambda: stage_begins(place, "*"), process)  # the second time it may be the next one
            time.sleep(rng.uniform(0, 0.8 * seconds))
            stop(process, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    place.finish()
    assert place.manifest() == whole.manifest()
    assert place.left_behind() == []


@pytest.mark.campaign
@pytest.mark.parametrize("stage", NAMES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_any_stage_ends_it_soon_and_leaves_nothing(
    whole: Place, tmp_path: Path, stage: str, number: signal.Signals
) -> None:
    place = begun(whole, tmp_path, stage)
    process = place.start()
    assert until(lambda: stage_begins(place, stage), process)
    time.sleep(read_timings(whole.out).stages[stage] / 2)
    took = stop(process, number)
    assert process.returncode == 128 + number
    assert took < 5
    assert list((tmp_path / "tmp").iterdir()) == []
    place.finish()
    assert place.manifest() == whole.manifest()


@pytest.mark.campaign
def test_a_run_killed_every_twenty_seconds_ends_all_the_same(tmp_path: Path) -> None:
    """The preset 'quick' as it is: no step of it is so long that a kill every 20 s undoes all of it."""
    quick = Place(tmp_path)
    arguments = ("--dataset", "digits", "--preset", "quick")
    for _ in range(60):
        process = quick.start(*arguments)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            stop(process, signal.SIGKILL)
            continue
        break
    assert process.returncode == 0
    assert quick.left_behind() == []
