"""What a corruption is: a row of the table, and the types its function takes and gives.

The published generator writes every corruption as `x / 255 -> float image -> clip to [0, 1] -> * 255 -> uint8`, and the
last step truncates. The functions here stop before it: they give float pixels in [0, 255], and `corrupt` truncates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.severities import Level

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""Images, shape (N, H, W, C)."""
Values: TypeAlias = npt.NDArray[Any]
"""Float (or uint8) images in [0, 255], same shape, not yet truncated."""
Generators: TypeAlias = Iterator[np.random.Generator]
"""One fresh random generator per image, in order; a corruption that draws nothing leaves it alone."""
Apply: TypeAlias = Callable[[Pixels, Level, Generators], Values]
"""(images, level, generators) -> values."""

STANDARD_15: tuple[str, ...] = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 corruptions that mCE is the mean of, whether built here or not; all others are extras."""


@dataclass(frozen=True, slots=True)
class Corruption:
    """One corruption.

    Attributes:
        name: as published.
        apply: the function that applies it.
        seeded: whether that draws numbers.
        colour: whether it knows RGB only; grey pictures become RGB for it, and its result grey again.
    """

    name: str
    apply: Apply
    seeded: bool = False
    colour: bool = False

    @property
    def standard(self) -> bool:
        """Whether it is one of the 15 that mCE is made of."""
        return self.name in STANDARD_15
