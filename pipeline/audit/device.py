"""The device's arithmetic: TFLite Micro's kernels on some of the corrupted pictures that faster ones have seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flatnas.data.dataset import choose_images
from pipeline.audit.cache import Cache
from pipeline.audit.images import AuditImages, Ints, variants
from pipeline.audit.predictions import Predictions, Progress, Request, predict
from pipeline.audit.subject import Subject
from pipeline.results import DeviceArithmetic

if TYPE_CHECKING:
    from export.runners import Kind


def device_kernels() -> Kind:
    """TFLite Micro where it is installed, else LiteRT's reference kernels, which compute the same but for rounding."""
    from export.tflite_runtimes import tflm_installed

    return "tflm" if tflm_installed() else "litert-reference"


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
