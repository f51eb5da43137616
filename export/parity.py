"""Parity: the same int8 inputs through every runtime, against LiteRT's reference kernels, in LSB of the output.

Which difference is allowed, and why (measured; see docs/decisions/0003-parity.md):

    tflm         1  the same arithmetic, but FULLY_CONNECTED rounds twice where LiteRT rounds once
    litert       8  XNNPACK requantizes through float and rounds half to even; a difference grows with depth
    onnxruntime  8  dequantizes to float and rounds half to even
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.graph import ExportError
from export.runners import Array, Kind, load_runner, tflm_installed

BOUNDS_LSB: dict[Kind, int] = {"tflm": 1, "litert": 8, "onnxruntime": 8}


@dataclass(frozen=True, slots=True)
class Parity:
    """One runtime against the reference.

    Attributes:
        max_abs_lsb: largest difference of an output, in steps of its scale.
        mismatches: inputs with any difference.
        n: inputs.
        top1_agreement: share of inputs with the same class.
        bound_lsb: what is allowed.
    """

    runner: str
    max_abs_lsb: int
    mismatches: int
    n: int
    top1_agreement: float
    bound_lsb: int

    @property
    def holds(self) -> bool:
        """Whether the largest difference is within the bound."""
        return self.max_abs_lsb <= self.bound_lsb


def parity(
    int8_tflite: Path,
    int8_onnx: Path | None,
    inputs_nhwc: npt.NDArray[np.int8],
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> tuple[Parity, ...]:
    """Compare the installed runtimes on raw int8 inputs, shape (N, R, R, 3).

    Args:
        int8_onnx: the QDQ file of the same model; left out when None.
    """
    reference_runner = load_runner(int8_tflite, "litert-reference")
    if reference_runner.input_dtype != "int8" or reference_runner.output_qparams is None:
        raise ExportError(f"{int8_tflite.name} is not an int8 model: parity compares integers")
    scale, zero_point = reference_runner.output_qparams
    kinds: list[Kind] = ["tflm"] if tflm_installed() else []
    kinds += ["litert", "onnxruntime"] if int8_onnx else ["litert"]
    progress(0, 1 + len(kinds), "litert-reference")
    reference = reference_runner.run(inputs_nhwc).astype(np.int64)
    rows = []
    for done, kind in enumerate(kinds, start=1):
        progress(done, 1 + len(kinds), kind)
        if kind == "onnxruntime":
            assert int8_onnx is not None
            runner = load_runner(int8_onnx, kind)
            pixels = (inputs_nhwc.astype(np.int16) + 128).astype(np.uint8)
            output: Array = np.rint(runner.classify(pixels) / np.float32(scale)).astype(np.int64) + zero_point
        else:
            output = load_runner(int8_tflite, kind).run(inputs_nhwc).astype(np.int64)
        difference = np.abs(output - reference)
        agreement = float(np.mean(output.argmax(1) == reference.argmax(1)))
        rows.append(
            Parity(
                kind,
                int(difference.max()),
                int((difference.max(1) > 0).sum()),
                len(reference),
                agreement,
                BOUNDS_LSB[kind],
            )
        )
    return tuple(rows)
