"""How long LiteRT takes for one image on this machine's CPU: of the host, and no estimate of any target."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.run.tflite_runtimes import litert_invoke

_WARM_UP = 5  # invocations
_MOST, _SECONDS = 200, 0.4  # invocations that are timed, until this much time has passed
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class HostLatency:
    """Milliseconds of one invocation, batch 1.

    Attributes:
        xnnpack: with XNNPACK's kernels, LiteRT's default; else with its own.
        median_ms: of the timed invocations.
        p90_ms: what nine of ten took at most.
    """

    file: str
    threads: int
    xnnpack: bool
    median_ms: float
    p90_ms: float


def host_latency(path: Path, threads: int, xnnpack: bool) -> HostLatency:
    """Time a TFLite file on its own random input.

    Raises:
        ExportError: LiteRT can't load the file.
    """
    taken = 1e3 * _seconds(litert_invoke(path, threads, xnnpack))
    return HostLatency(path.name, threads, xnnpack, float(np.median(taken)), float(np.percentile(taken, 90)))


def _seconds(invoke: Callable[[], None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    for _ in range(_WARM_UP):
        invoke()
    taken: list[float] = []
    while len(taken) < _FEWEST or (len(taken) < _MOST and sum(taken) < _SECONDS):
        start = time.perf_counter()
        invoke()
        taken.append(time.perf_counter() - start)
    return np.array(taken)
