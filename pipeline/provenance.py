"""Which versions made a run: what byte identity is promised for."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("flatnas-deploy", "torch", "numpy", "onnx", "onnxruntime", "ai-edge-litert", "tflite-micro", "pymoo", "opencv-python-headless", "scipy")


def versions() -> dict[str, str]:
    """Versions of Python, of the packages that compute results, and the number of cores; missing packages are left out."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
