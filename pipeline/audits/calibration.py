"""How much an int8 model depends on its calibration pictures: the float model quantized anew from several sets of them.

Sets differ in size, seed and mixture. `corrupted` calibrates on half corrupted pictures, which no claim may do: it
shows what clipped ranges cost, and is named for what it is.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from export.calibrate import calibrate
from export.quantize import quantize
from flatnas.corruptions import STANDARD_15, corrupt
from flatnas.data.dataset import Images
from flatnas.data.resize import resize
from pipeline.audits.cache import Cache
from pipeline.audits.images import AuditImages, Ints, Pixels
from pipeline.audits.predictions import Progress, predict_all
from pipeline.audits.result import CalibrationTrial
from pipeline.audits.statistics import counted_rows, error_rates
from pipeline.audits.subject import Subject
from pipeline.audits.workers import run_inside

_SEEDS = (0, 1, 2)
_MIXTURES = ("stratified", "one class", "half corrupted")


def requantized(float_model: Subject, pictures: Pixels) -> bytes:
    """QDQ ONNX of a float ONNX, with activation ranges from these pictures.

    Raises:
        ExportError: an operator that can't be quantized.
    """
    runner = float_model.load()
    content = float_model.content()
    x = runner.encode(resize(pictures, runner.resolution))
    return quantize(content, calibrate(content, x), input_scale=None)


def quantized_in_child(
    float_model: Subject, sets: Sequence[Pixels], folder: Path, did: Callable[[int], None]
) -> list[Path]:
    """`requantized` for each set of pictures, in a process of its own; the files are in `folder`.

    Raises:
        PipelineError: an operator that can't be quantized, or a runtime that crashes.
    """
    jobs, made = [], [folder / f"{number}.onnx" for number in range(len(sets))]
    for out, pictures in zip(made, sets, strict=True):
        np.save(out.with_suffix(".npy"), pictures)
        files = {"pictures": str(out.with_suffix(".npy")), "out": str(out)}
        jobs.append({"float": float_model.to_json(), **files})
    done = itertools.count(1)
    run_inside({"quantize": jobs, "layers": None}, {float_model.kind}, lambda _: did(next(done)))
    return made


def calibration_trials(
    float_model: Subject,
    train: Images,
    sizes: Sequence[int],
    images: AuditImages,
    indices: Ints,
    labels: Ints,
    corruptions: Sequence[str],
    store: Cache,
    progress: Progress,
) -> list[CalibrationTrial]:
    """Quantize anew for each size, seed and mixture, and measure each on the pictures at `indices`.

    Args:
        train: calibration pictures are drawn from it; the test set is never calibrated on.
        indices: of the test pictures, with their labels.
    """
    plans = [(size, seed, _MIXTURES[0]) for size in sizes for seed in _SEEDS]
    plans += [(max(sizes), 0, mixture) for mixture in _MIXTURES[1:]]
    with tempfile.TemporaryDirectory(prefix="pipeline-calibration-") as folder:
        drawn = [_drawn(train, size, seed, mixture) for size, seed, mixture in plans]
        paths = quantized_in_child(float_model, drawn, Path(folder), lambda count: progress(count, len(plans), ""))
        subjects = {str(number): replace(float_model, path=path) for number, path in enumerate(paths)}
        answers = predict_all(subjects, images, indices, corruptions, store, lambda *_: None, progress)
    counted = counted_rows(corruptions)
    measured = [error_rates(p, labels) for p in answers.values()]
    return [
        CalibrationTrial(
            images=size,
            seed=seed,
            mixture=mixture,
            accuracy=1 - float(rates[0]),
            mean_error=float(rates[counted].mean()),
        )
        for (size, seed, mixture), rates in zip(plans, measured, strict=True)
    ]


def _drawn(train: Images, size: int, seed: int, mixture: str) -> Pixels:
    if mixture == "one class":
        members = np.flatnonzero(train.labels == train.labels[seed])
        return train.pixels_nhwc[members[:size]]
    pixels = train.subset(size, seed).pixels_nhwc
    if mixture == "half corrupted":
        pixels = pixels.copy()
        for place in range(0, len(pixels), 2):
            name = STANDARD_15[place // 2 % len(STANDARD_15)]
            pixels[place] = corrupt(pixels[place : place + 1], name, 3, [place], seed)[0]
    return pixels
