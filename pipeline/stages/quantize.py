"""Quantize: int8 QDQ ONNX, by the cheapest method that keeps the accuracy.

`auto` climbs minmax -> post-training -> qat until int8 is at most `LARGEST_GAP` below float on validation images, and
keeps the most accurate of what it tried; `ptq` never trains, `qat` always does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flatnas.data.dataset import Images
from flatnas.space.arch import Arch
from pipeline.config import QuantizeName
from pipeline.files import write_bytes
from pipeline.finetuning import training_images
from pipeline.results.quantization import Method, Quantization, QuantizationAttempt, QuantizationStep
from pipeline.runs.layout import ARCH, FLOAT_ONNX, INT8_ONNX, LABELS, QUANTIZATION
from pipeline.runs.stage import Stage, StageContext
from pipeline.training import divergence_told
from pipeline.values import read_value, write_value

if TYPE_CHECKING:
    from export.post_training import PostTraining

LARGEST_GAP = 0.003  # of accuracy; the gate of a run allows 0.01 on the test images
_LEARNING_RATE = 0.0005  # small: without batch norms a step moves the function further
_LABEL_SMOOTHING = 0.05
_INPUT = (np.float32(1 / 128), 0)  # int8 input = pixel - 128

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Quantizing:
    """By which methods, and how long one may train; see `pipeline.config`."""

    seed: int
    quantize: QuantizeName
    calibration_images: int
    qat_epochs: int
    finetune_images: int


def _run(context: StageContext[Quantizing]) -> None:
    resolution = read_value(Arch, context.path(ARCH)).resolution
    float_onnx = context.path(FLOAT_ONNX).read_bytes()
    x, labels = _to_input(context.data.val, resolution), context.data.val.labels
    expected = _accuracy(float_onnx, x, labels)
    calibration = context.data.train.subset(context.settings.calibration_images, context.settings.seed)
    attempts: list[QuantizationAttempt] = []
    models = []
    for method, qdq_onnx, steps in _attempts(context, float_onnx, calibration, resolution):
        accuracy = _accuracy(qdq_onnx, x, labels)
        attempts.append(QuantizationAttempt(method, accuracy, steps))
        models.append(qdq_onnx)
        if context.settings.quantize == "auto" and expected - accuracy <= LARGEST_GAP:
            break
    best = int(np.argmax([attempt.accuracy for attempt in attempts]))
    write_bytes(context.path(INT8_ONNX), models[best])
    how = Quantization(
        method=attempts[best].method,
        calibration_images=len(calibration),
        validation_images=len(labels),
        float_accuracy=expected,
        attempts=tuple(attempts),
    )
    write_value(context.path(QUANTIZATION), how)


def _attempts(
    context: StageContext[Quantizing], float_onnx: bytes, calibration: Images, resolution: int
) -> Iterator[tuple[Method, bytes, tuple[QuantizationStep, ...]]]:
    """(method, QDQ ONNX, the techniques it kept), from cheap to expensive, each computed when it is asked for."""
    from export.calibrate import calibrate
    from export.passes.canonical import canonical
    from export.post_training import post_training
    from export.quantize import quantize_graph

    mode = context.settings.quantize
    x = _to_input(calibration, resolution)
    if mode == "auto":
        yield "minmax", quantize_graph(canonical(float_onnx), calibrate(float_onnx, x), _INPUT), ()
    with context.report.track("quantizing") as advance:
        found = post_training(float_onnx, x, _INPUT, advance)
    steps = tuple(QuantizationStep(step.name, step.error) for step in found.steps if step.kept)
    if mode != "qat":
        yield "post-training", found.qdq_onnx, steps
    if mode != "ptq":
        yield "qat", _train(context, found, resolution), steps


def _train(context: StageContext[Quantizing], start: PostTraining, resolution: int) -> bytes:
    """Quantization-aware training from the post-training weights and ranges."""
    from export.qat import FakeQuantized
    from export.quantize import quantize_graph
    from flatnas.training.train import Recipe, cross_entropy, train

    module = FakeQuantized(start.graph, start.ranges, _INPUT)
    recipe = Recipe(
        epochs=context.settings.qat_epochs,
        learning_rate=_LEARNING_RATE,
        seed=context.settings.seed,
        rho=0.05,
        mirror=context.data.mirrors,
        shift=context.data.shift,
    )
    remedy = "leave that training out with --quantize ptq"
    with context.report.track("quantization-aware training") as advance, divergence_told(remedy):
        train(
            module,
            training_images(context).subset(context.settings.finetune_images),
            cross_entropy(module, resolution, _LABEL_SMOOTHING),
            recipe,
            checkpoint=context.work / "qat.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    return quantize_graph(module.trained_graph(), start.ranges, _INPUT)


def _to_input(images: Images, resolution: int) -> Float32Array:
    from flatnas.data.resize import resize

    pixels = resize(images.pixels_nhwc, resolution).transpose(0, 3, 1, 2)
    return ((pixels.astype(np.float32) - 128) / 128).astype(np.float32)


def _accuracy(onnx: bytes, x: Float32Array, labels: npt.NDArray[np.int64]) -> float:
    from export.calibrate import session

    run = session(onnx)
    scores = np.concatenate([run(None, {"image": x[i : i + 250]})[0] for i in range(0, len(x), 250)])
    return float(np.mean(scores.argmax(1) == labels))


STAGE = Stage(
    "quantize", reads=(ARCH, FLOAT_ONNX, LABELS), writes=(INT8_ONNX, QUANTIZATION), settings=Quantizing, run=_run
)
