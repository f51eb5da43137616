"""What is done to a user's pictures before they are a data set: size, shape, colours, mirroring, groups.

A picture of another shape than the net's input is squeezed to it (`area`), cropped to it in the middle (`crop`), or
shown whole on mid-grey bars (`letterbox`). All three shrink by area interpolation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from flatnas.data.pictures import GREY, Picture
from flatnas.data.resize import resize_one
from flatnas.errors import DataError

Resize = Literal["area", "crop", "letterbox"]
RESIZES: tuple[Resize, ...] = get_args(Resize)
BY_FOLDER = "folder"
_SIDES = {"left", "right"}


@dataclass(frozen=True, slots=True)
class Preparation:
    """How pictures become a data set.

    Attributes:
        size_hw: height and width in pixels; None for squares of the pictures' own size.
        resize: how a picture of another shape becomes one of `size_hw`.
        mirrors: whether a mirrored picture keeps its class; None to decide by the classes' names.
        channels: 3 for RGB, 1 for grey.
        group_by: pictures of one group stay in one part. `folder` groups by the folder below the class's, anything
            else is a regular expression whose first group (or match) in the path below the class's folder is the name.
            None leaves each picture to itself.
    """

    size_hw: tuple[int, int] | None = None
    resize: Resize = "area"
    mirrors: bool | None = None
    channels: Literal[1, 3] = 3
    group_by: str | None = None

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ValueError(f"resize must be one of {', '.join(RESIZES)}; got {self.resize!r}")
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3; got {self.channels!r}")
        if self.size_hw is not None and min(self.size_hw) < 1:
            raise ValueError(f"height and width must be at least 1; got {self.size_hw}")
        if self.group_by not in (None, BY_FOLDER):
            try:
                re.compile(self.group_by or "")
            except re.error as error:
                raise DataError(f"groups by '{self.group_by}': no regular expression ({error})") from error


AS_THEY_ARE = Preparation()
"""Squares of the pictures' own size, squeezed, RGB; each picture a group of its own."""


def square(side: int | None) -> Preparation:
    """`AS_THEY_ARE`, but with pictures of `side` pixels where one is given."""
    return AS_THEY_ARE if side is None else Preparation(size_hw=(side, side))


def fitted(picture: Picture, size_hw: tuple[int, int], how: Resize) -> Picture:
    """A picture (H, W, C) at another size and shape; one that has them already is left alone."""
    height, width = size_hw
    if picture.shape[:2] == size_hw:
        return np.ascontiguousarray(picture)
    match how:
        case "area":
            return resize_one(picture, height, width)
        case "crop":
            return resize_one(_middle(picture, height / width), height, width)
        case "letterbox":
            scale = min(height / picture.shape[0], width / picture.shape[1])
            inner = (max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale)))
            top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
            framed = np.full((height, width, picture.shape[2]), GREY, np.uint8)
            framed[top : top + inner[0], left : left + inner[1]] = resize_one(picture, *inner)
            return framed


def _middle(picture: Picture, height_by_width: float) -> Picture:
    """The largest part of that shape, from the middle."""
    rows = min(picture.shape[0], max(1, round(picture.shape[1] * height_by_width)))
    columns = min(picture.shape[1], max(1, round(picture.shape[0] / height_by_width)))
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    return np.ascontiguousarray(picture[top : top + rows, left : left + columns])


def classes_that_mirroring_changes(class_names: Sequence[str]) -> list[str]:
    """Classes that a mirrored picture may leave: names with the words `left` or `right`, and single characters."""
    return [name for name in class_names if len(name.strip()) == 1 or _SIDES & set(_words(name))]


def _words(name: str) -> list[str]:
    """`turnLeft`, `turn_left` and `turn-left` to turn and left."""
    return [word.lower() for word in re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name))]
