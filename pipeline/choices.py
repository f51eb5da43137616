"""The words that options take."""

from __future__ import annotations

from typing import Literal

PresetName = Literal["quick", "standard", "full", "release"]
SelectName = Literal["knee", "accuracy", "robust", "smallest"]
ProtocolName = Literal["fast", "paper"]
AugmentName = Literal["none", "augmix"]
QuantizeName = Literal["auto", "ptq", "qat"]
OptimizerName = Literal["sam", "asam", "sgd"]
ObjectiveName = Literal["flatness", "rounding", "corruptions"]
TeacherName = Literal["auto", "labels", "train", "none"]
