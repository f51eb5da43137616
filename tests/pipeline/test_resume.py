"""A run killed with SIGKILL, again and again, ends with the same files as one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = [
    sys.executable,
    "-m",
    "pipeline",
    "run",
    "--target",
    "cortex-m7",
    "--dataset",
    "digits",
    "--preset",
    "quick",
    "--offline",
]


def finish(out: Path) -> None:
    subprocess.run([*RUN, "--out", str(out)], check=True)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_report(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    finished = os.environ.get("PIPELINE_FINISHED_RUN")
    whole = Path(finished) if finished else tmp_path / "whole"
    if not finished:
        finish(whole)
    killed = tmp_path / "killed"
    for seconds in (9, 25, 25):  # in the adapting of the supernet, further in it, and in what follows
        process = subprocess.Popen([*RUN, "--out", str(killed)])
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finish(killed)
    ours, theirs = (json.loads((out / "manifest.json").read_text()) for out in (killed, whole))
    assert ours == theirs  # every file but timings.json, byte for byte
    subprocess.run([sys.executable, "-m", "pipeline", "verify", str(killed)], check=True)
