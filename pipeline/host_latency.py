"""How long a mobile target's files take on this computer: LiteRT, one image at a time. Not the target's latency."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.runs.timings import add_host_latency


def measure_host_latency(directory: Path) -> None:
    """Time a run's TFLite files on one thread and on all of them with XNNPACK, and on one without."""
    from export.run.host_latency import host_latency

    cores = os.cpu_count() or 1
    ways = dict.fromkeys(((1, True), (cores, True), (1, False)))
    files = sorted((directory / "model").glob("*.tflite"))
    rows = [host_latency(path, *way) for path in files for way in ways]
    add_host_latency(directory, rows)
