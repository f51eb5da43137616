"""What becomes of a call where the machine gives less than it needs, or stops it: one line, and nothing left behind."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.exhausted import exhausted
from pipeline.files import sha256_of, write_bytes, write_json
from pipeline.models import model_file, released_models
from pipeline.temporary import own_temporary_folder, remove_dead

ROOT = Path(__file__).parents[2]
MODEL = model_file(released_models()["cifar10-tiny"])
AUDIT = ("audit", str(MODEL), "--dataset", "digits", "--limit", "10", "--json", "audit.json")


def call(
    *arguments: str, cwd: Path, before: Callable[[], object] | None = None, inside: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own.

    Args:
        before: is called in the child.
        inside: shell commands that run before it, with mounts that no other process sees.
    """
    command = [sys.executable, "-m", "pipeline", *arguments]
    if inside:
        command = ["unshare", "--mount", "sh", "-c", f'{inside} && exec "$@"', "sh", *command]
    temporary = cwd / "tmp"
    temporary.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PIPELINE")}
    places = {"HOME": str(cwd), "XDG_CACHE_HOME": str(cwd / "cache"), "TMPDIR": str(temporary)}
    env = kept | places | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, preexec_fn=before, timeout=300
    )


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


def can_mount() -> bool:
    return (
        os.getuid() == 0
        and shutil.which("unshare") is not None
        and subprocess.run(
            ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
        ).returncode
        == 0
    )


needs_mounts = pytest.mark.skipif(not can_mount(), reason="this machine lets nobody mount")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the audit where nothing is wrong."""
    cwd = tmp_path_factory.mktemp("plain")
    assert call(*AUDIT, cwd=cwd).returncode == 0
    return sha256_of(cwd / "audit.json")


# memory


@pytest.mark.parametrize(("megabytes", "code"), [(200, 2), (1500, 0)])
def test_too_little_memory_is_one_line_and_enough_is_enough(
    megabytes: int, code: int, tmp_path: Path, figures: str
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    result = call(*AUDIT, cwd=tmp_path, before=limit)
    assert result.returncode == code, result.stderr
    if code:
        assert "there is not enough memory: free some, or allow more" in one_line(result)
    else:
        assert sha256_of(tmp_path / "audit.json") == figures


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "there is not enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "not enough memory",
        ),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "not enough memory"),
        (OSError(28, "No space left on device", "a/b"), "can't write a/b: No space left on device"),
        (OSError(27, "File too large"), "can't write: File too large"),
        (OSError(2, "No such file or directory"), None),
        (RuntimeError("shapes differ"), None),
    ],
)
def test_what_ran_out_is_told_from_faults(error: Exception, told: str | None) -> None:
    found = exhausted(error)
    assert found is None if told is None else told in str(found)


# places that can't be written, or not much


@needs_mounts
def test_cache_and_home_that_cannot_be_written_cost_time_alone(tmp_path: Path, figures: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    read_only = f"mount -t tmpfs -o ro tmpfs {home}"
    result = call(*AUDIT, cwd=tmp_path, inside=read_only, HOME=str(home), XDG_CACHE_HOME=f"{home}/cache")
    assert result.returncode == 0, result.stderr
    assert "can't be kept (Read-only file system); it will be computed again" in result.stderr
    assert sha256_of(tmp_path / "audit.json") == figures


@needs_mounts
def test_a_full_cache_costs_time_alone(tmp_path: Path, figures: str) -> None:
    (tmp_path / "cache").mkdir()
    full = f"mount -t tmpfs -o size=64k tmpfs {tmp_path}/cache"
    result = call(*AUDIT, cwd=tmp_path, inside=full)
    assert result.returncode == 0, result.stderr
    assert "can't be kept (No space left on device)" in result.stderr
    assert sha256_of(tmp_path / "audit.json") == figures


@needs_mounts
def test_a_small_shared_memory_costs_nothing(tmp_path: Path, figures: str) -> None:
    assert call(*AUDIT, cwd=tmp_path, inside="mount -t tmpfs -o size=64k tmpfs /dev/shm").returncode == 0
    assert sha256_of(tmp_path / "audit.json") == figures


@needs_mounts
@pytest.mark.parametrize("arguments", [AUDIT, ("sign", "run", "--key", "key.pem")], ids=["audit", "sign"])
def test_a_full_temporary_folder_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    if arguments[0] == "sign":
        pytest.importorskip("model_signing")
    shutil.copytree(released_models()["cifar10-tiny"], tmp_path / "run")
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "key.pem"],
        check=True,
        capture_output=True,
    )
    (tmp_path / "tmp").mkdir()
    small = f"mount -t tmpfs -o size=8k tmpfs {tmp_path}/tmp"  # a full one is not taken for temporary files at all
    message = one_line(call(*arguments, cwd=tmp_path, inside=small))
    assert message.startswith(("error: can't write to ", "error: can't write: No space left on device; mend that"))
    assert not (tmp_path / "run/model.sig").exists()


@needs_mounts
def test_a_full_output_is_one_line_and_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    full = f"mount -t tmpfs -o size=128k tmpfs {tmp_path}/out"
    arguments = ("bundle", "cifar10-tiny", "--out", "out/model.zip")
    message = one_line(call(*arguments, cwd=tmp_path, inside=full))
    assert message == "error: can't write out/model.zip: No space left on device"
    shown = call("targets", cwd=tmp_path, inside=f"{full} && mkdir {tmp_path}/out/kept")
    assert shown.returncode == 0


# a clock that jumps, modes


def test_a_clock_that_runs_backwards_changes_nothing(tmp_path: Path, figures: str) -> None:
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(
        "import time\ncount = iter(range(10**9))\ntime.time = lambda: 2e9 - 3600.0 * next(count)\n"
    )
    result = call(*AUDIT, cwd=tmp_path, PYTHONPATH=f"{tmp_path / 'clock'}{os.pathsep}{ROOT}")
    assert result.returncode == 0, result.stderr
    assert sha256_of(tmp_path / "audit.json") == figures
    for path in (tmp_path / "cache").rglob("*"):
        os.utime(path, (4e9, 4e9))  # kept in the year 2096
    assert call(*AUDIT, cwd=tmp_path).returncode == 0
    assert sha256_of(tmp_path / "audit.json") == figures


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_mode_that_the_umask_leaves(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_json(tmp_path / "folder/a.json", {})
        write_bytes(tmp_path / "folder/b", b"")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "folder").iterdir()} == {mode}
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["a.json", "b"]


# ends


def test_the_temporary_folder_of_a_killed_process_goes_with_the_next_one_and_a_living_ones_stays(
    tmp_path: Path,
) -> None:
    code = (
        "import tempfile, time\nfrom pipeline.temporary import own_temporary_folder\n"
        "with own_temporary_folder(), tempfile.TemporaryDirectory() as folder:\n"
        "    print(folder, flush=True)\n    time.sleep(600)\n"
    )
    env = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    killed, living = (
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    try:
        folders = [Path(str(process.stdout.readline()).strip()) for process in (killed, living) if process.stdout]
        assert all(folder.is_dir() and folder.parent.parent == tmp_path for folder in folders)
        killed.kill()
        killed.wait()
        remove_dead(tmp_path)
        assert [folder.is_dir() for folder in folders] == [False, True]
        assert len(list(tmp_path.iterdir())) == 2  # the living one's folder and lock
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate()


def test_other_peoples_folders_and_links_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/thesis").write_text("")
    (tmp_path / "pipeline-tmp-0").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "pipeline-tmp-0.lock").symlink_to(tmp_path / "elsewhere/thesis")
    (tmp_path / "pipeline-tmp-1.lock").mkdir()
    remove_dead(tmp_path)
    assert (tmp_path / "elsewhere/thesis").exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_temporary_folder_goes_with_its_call_and_none_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", "before")
    with own_temporary_folder() as around:
        assert around == tmp_path
        assert Path(os.environ["TMPDIR"]).stat().st_mode & 0o777 == 0o700
        assert Path(tempfile.mkdtemp()).parent.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert os.environ["TMPDIR"] == "before"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with own_temporary_folder() as around:
        assert around == tmp_path / "absent"


def test_a_hang_up_that_nohup_ignores_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        monkeypatch.setattr(sys, "argv", ["pipeline"])
        with pytest.raises(SystemExit, match="0"):
            cli.main(click.Command("nothing", callback=lambda: None))
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == cli._stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_workers_end_with_their_leader_and_the_temporary_folder_is_empty(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PIPELINE")}
    env = kept | {"TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipeline", "audit", str(MODEL), "--dataset", "digits"]
    heard = None if number == signal.SIGKILL else lambda: signal.signal(number, signal.SIG_DFL)  # nohup ignores some
    leader = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    try:
        deadline = time.monotonic() + 120
        while not (workers := children(leader.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert workers
        time.sleep(2)
        sent = time.monotonic()
        leader.send_signal(number)
        leader.wait(30)
        while any(alive(pid) for pid in workers) and time.monotonic() - sent < 30:
            time.sleep(0.1)
        assert not [pid for pid in workers if alive(pid)]
    finally:
        leader.kill()
        leader.communicate()
    if number != signal.SIGKILL:
        assert time.monotonic() - sent < 10  # 5 s beside nothing else
        assert leader.returncode == 128 + number
    remove_dead(tmp_path / "tmp")
    assert list((tmp_path / "tmp").iterdir()) == []


def children(pid: int) -> list[int]:
    """Of a process, by what /proc tells."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs: a zombie's end is only not yet noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
