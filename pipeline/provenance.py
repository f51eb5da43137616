"""Which versions made a run: what byte identity is promised for."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "flatnas-deploy",
    "torch",
    "numpy",
    "numba",
    "scikit-learn",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "tflite-micro",
    "pymoo",
    "opencv-python-headless",
    "scipy",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute results, where installed; and the number of threads."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "threads": str(threads())}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def threads() -> int:
    """How many threads a training shares its sums between, on which their last bits depend."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(asked) if asked.isdecimal() and int(asked) else usable


def cpu_name() -> str:
    """The processor as its maker calls it, where the system tells."""
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    return platform.processor() or platform.machine()
