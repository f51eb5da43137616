"""The firmware on this machine, as a function: the same layers and integers as on the device, compiled for the PC.

Its kernels for convolutions are those that PCs run fast (`host` in hardware_profiles.firmware.kernels); all of a
thread's state is its own arena.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.runtime.build import build_library
from export.write.to_c import to_c

Int8s = npt.NDArray[np.int8]


def load_host_firmware(tflite: bytes, threads: int) -> Callable[[Int8s], Int8s]:
    """Compile a model for this machine: a function from int8 inputs (N, ...) to int8 outputs (N, ...).

    Raises:
        ExportError: a model that firmware can't be made of, or no working C compiler.
    """
    sources = to_c(tflite, "host", version=version("flatnas-deploy"))
    with tempfile.TemporaryDirectory() as directory:
        library = ctypes.CDLL(str(build_library(sources.files, Path(directory))))
    shape = sources.graph.tensor(sources.graph.outputs[0]).shape
    pool = ThreadPoolExecutor(threads)

    def run_part(inputs: Int8s) -> Int8s:
        outputs = np.empty((len(inputs), *shape[1:]), np.int8)
        library.model_run_batch(_pointer(inputs), _pointer(outputs), ctypes.c_int32(len(inputs)))
        return outputs

    def run(inputs: Int8s) -> Int8s:
        parts = np.array_split(np.ascontiguousarray(inputs, np.int8), threads)
        return np.concatenate(list(pool.map(run_part, parts)))

    return run


def _pointer(values: Int8s) -> Any:
    return values.ctypes.data_as(ctypes.c_void_p)
