"""The device's arithmetic: what computes as a microcontroller does, and how far XNNPACK's faster kernels are from it.

Our firmware compiled for this machine equals TFLite Micro in every byte and is several times as fast as its reference
kernels. Without a C compiler, or for a model that firmware can't be made of, these run on a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flatnas.data.dataset import choose_images
from pipeline.audits.cache import Cache
from pipeline.audits.images import AuditImages, Ints, variants
from pipeline.audits.predictions import Predictions, Progress, Request, predict
from pipeline.audits.result import DeviceArithmetic
from pipeline.audits.subject import Subject

if TYPE_CHECKING:
    from export.run.runners import Kind


def device_kernels(tflite: Path) -> Kind:
    """What computes an int8 file as a device does: the firmware, else TFLite Micro where it is installed.

    Without either, LiteRT's reference kernels, which compute the same but for rounding.
    """
    from export.read_tflite import read_tflite
    from export.run.tflite_runtimes import tflm_installed
    from export.runs_on import obstacle
    from export.runtime.build import host_compiler

    if host_compiler() is not None and obstacle(read_tflite(tflite), "firmware") is None:
        return "firmware"
    return "tflm" if tflm_installed() else "litert-reference"


def compared(runner: Kind, device: Predictions, fast: Predictions, labels: Ints) -> DeviceArithmetic:
    """Both on every corrupted picture; `runner` computed `device`."""
    on_device, on_host = device.classes[1:], fast.classes[1:]
    return DeviceArithmetic(
        runner=runner,
        images=on_device.size,
        disagreement=float(np.mean(on_device != on_host)),
        mean_error_fast=float(np.mean(on_host != labels)),
        mean_error_device=float(np.mean(on_device != labels)),
        accuracy_fast=float(np.mean(fast.classes[0] == labels)),
    )


def run_subjects(int8: Path, *, on_device: bool) -> tuple[Subject, Subject | None]:
    """A run's int8 file as it is audited, and what stands beside it.

    Args:
        on_device: whether the firmware computes where it can, and XNNPACK stands beside.
    """
    if on_device and device_kernels(int8) == "firmware":
        return Subject(int8, "firmware"), Subject(int8)
    return Subject(int8), None


def device_arithmetic(
    subject: Subject,
    fast: Predictions,
    images: AuditImages,
    indices: Ints,
    labels: Ints,
    corruptions: Sequence[str],
    count: int,
    store: Cache,
    progress: Progress,
) -> DeviceArithmetic:
    """Run `subject` on the device's kernels on a stratified subset of the pictures that `fast` has seen.

    Args:
        indices: of the pictures behind the columns of `fast`, with their labels.
        count: corrupted pictures in all, at least; spread evenly over corruptions, severities and classes.

    Raises:
        PipelineError: the kernels can't run the model.
    """
    rows = variants(list(corruptions))[1:]
    each = min(-(-count // len(rows)), len(indices))
    picked = [choose_images(labels, each, images.seed + row) for row in range(len(rows))]
    requests = [Request("device", variant, indices[p]) for variant, p in zip(rows, picked, strict=True)]
    answers = predict({"device": subject}, images, requests, store, lambda *_: None, progress)
    on_device = np.concatenate([a["label"] for a in answers])
    on_host = np.concatenate([fast.classes[1 + row, p] for row, p in enumerate(picked)])
    truth = np.concatenate([labels[p] for p in picked])
    return DeviceArithmetic(
        runner=subject.kind,
        images=len(truth),
        disagreement=float(np.mean(on_device != on_host)),
        mean_error_fast=float(np.mean(on_host != truth)),
        mean_error_device=float(np.mean(on_device != truth)),
    )
