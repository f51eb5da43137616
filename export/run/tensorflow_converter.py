"""The other route, as an independent check: float ONNX -> onnx2tf -> TensorFlow's converter -> int8 TFLite.

TensorFlow is imported in a process of its own (export/run/tensorflow_program.py): nothing else loads it, and what it
prints stays out of the way. Extra `[tensorflow]`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.graph import ExportError

PACKAGES = ("tensorflow", "tf_keras", "onnx2tf")


def require_packages() -> None:
    """Raises:
    ExportError: the packages of the extra are not installed.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ExportError(
            f"TensorFlow's converter needs {', '.join(missing)}: pip install 'flatnas-deploy[tensorflow]'"
        )


def convert(float_onnx: bytes, images_nchw: npt.NDArray[np.float32]) -> bytes:
    """Int8 TFLite, input and output included, calibrated by TensorFlow on these images, shape (n, C, R, R).

    Raises:
        ExportError: the packages of the extra are not installed, or the conversion fails.
    """
    require_packages()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "model.onnx").write_bytes(float_onnx)
        np.save(work / "images.npy", images_nchw.transpose(0, 2, 3, 1))
        program = Path(__file__).with_name("tensorflow_program.py")
        command = [sys.executable, "-P", str(program), name]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise ExportError(f"onnx2tf and TensorFlow's converter failed: {said}")
        return (work / "int8.tflite").read_bytes()
