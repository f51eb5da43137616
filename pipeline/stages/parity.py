"""Parity: the int8 model on every runtime, on validation images, against the integer interpreter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flatnas.space.arch import Arch
from pipeline.results.parity import ParityRow
from pipeline.runs.layout import ARCH, INT8_ONNX, INT8_TFLITE, PARITY
from pipeline.runs.stage import Stage, StageContext
from pipeline.values import read_value, write_value

if TYPE_CHECKING:
    from export.run.parity import Parity


@dataclass(frozen=True, slots=True)
class Comparing:
    """How many validation images every runtime sees, and which beside those that are always there."""

    parity_images: int
    device_runtimes: tuple[str, ...]


def _run(context: StageContext[Comparing]) -> None:
    from export.run.parity import parity
    from flatnas.data.resize import resize

    resolution = read_value(Arch, context.path(ARCH)).resolution
    pixels = resize(context.data.val.subset(context.settings.parity_images).pixels_nhwc, resolution)
    inputs = (pixels.astype(np.int16) - 128).astype(np.int8)
    with context.report.track("comparing runtimes") as advance:
        rows = parity(
            context.path(INT8_TFLITE),
            context.path(INT8_ONNX),
            inputs,
            progress=advance,
            fake_quantized=True,
        )
    write_value(context.path(PARITY), tuple(map(parity_row, rows)))


def parity_row(parity: Parity) -> ParityRow:
    """One runtime's row of `parity.json`."""
    return ParityRow(
        runner=parity.runner,
        max_abs_lsb=parity.max_abs_lsb,
        mismatches=parity.mismatches,
        n=parity.n,
        top1_agreement=parity.top1_agreement,
        bound_lsb=parity.bound_lsb,
        beyond=parity.beyond,
        holds=parity.holds,
        first_difference=parity.first_difference.node if parity.first_difference else None,
    )


STAGE = Stage("parity", reads=(ARCH, INT8_TFLITE, INT8_ONNX), writes=(PARITY,), settings=Comparing, run=_run)
