"""`model/model.json`: what a user of the int8 file needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """The input of the int8 file.

    Attributes:
        pixel: what a pixel is to it, in words.
        resize: how a picture comes to its size.
    """

    layout: Literal["NHWC"] = "NHWC"
    shape: tuple[int, ...]
    dtype: Literal["int8"] = "int8"
    scale: float
    zero_point: int
    pixel: str = "q = pixel - 128 for RGB pixels 0..255"
    resize: Literal["area", "crop", "letterbox"] = "area"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput:
    """The output of the int8 file."""

    shape: tuple[int, ...]
    dtype: Literal["int8"] = "int8"
    scale: float
    zero_point: int
    meaning: str = "logits, in the order of labels"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """`model/model.json`: what a user of the int8 file needs to know.

    Attributes:
        removed_channels: of the quantized network, that the file lacks since no output depends on them.
    """

    file: str
    sha256: str
    labels: tuple[str, ...]
    input: ModelInput
    output: ModelOutput
    removed_channels: int = 0
