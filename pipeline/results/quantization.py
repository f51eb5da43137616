"""`model/quantization.json`: how the net became int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["minmax", "post-training", "qat"]


@dataclass(frozen=True, slots=True)
class QuantizationStep:
    """A technique, and the network's error with it on held-out calibration images."""

    name: str
    error: float


@dataclass(frozen=True, slots=True)
class QuantizationAttempt:
    """One way to int8 that was tried.

    Attributes:
        method: `minmax`, `post-training` or `qat`.
        accuracy: top-1 of the int8 ONNX on validation images.
        steps: post-training techniques that were kept; `qat` starts from them.
    """

    method: Method
    accuracy: float
    steps: tuple[QuantizationStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """What was tried, and which of it ships.

    Attributes:
        method: the attempt that ships.
        calibration_images: training images behind the activation ranges.
        validation_images: behind the accuracies.
    """

    method: Method
    calibration_images: int
    validation_images: int
    float_accuracy: float
    attempts: tuple[QuantizationAttempt, ...]
