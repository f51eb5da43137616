"""The photographs of frost that the frost corruption lays over pictures.

They are the first five of the six in the package imagecorruptions 1.1.2 (Apache-2.0), which has them from
hendrycks/robustness (Apache-2.0); the sixth is never drawn there. The second and third show the same. CIFAR-10-C has
them at a fifth of their size, Tiny-ImageNet-C at three tenths, both by OpenCV, and ImageNet-C as they are. The fifths
are shipped as files of their own, so that their bytes don't depend on OpenCV. Why they are shipped at all:
docs/decisions/0005-frost-pictures.md.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from flatnas.corruptions.severities import TableName

Picture = npt.NDArray[np.uint8]
_FIFTHS = ("frost1.png", "frost2.png", "frost3.png", "frost4.png", "frost5.png")
_WHOLE = ("frost1.webp", "frost2.webp", "frost2.webp", "frost4.webp", "frost5.webp")
_TINY_SCALE = 0.3


@cache
def frost_pictures(table: TableName, height: int, width: int) -> tuple[Picture, ...]:
    """The pictures, RGB, each larger than height x width: enlarged as far as that needs, cubically."""
    import cv2

    pictures = []
    for name in _FIFTHS if table == "cifar10-c" else _WHOLE:
        file = files("flatnas.corruptions").joinpath("frost", name)
        picture: Any = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if table == "tiny-imagenet-c":
            picture = cv2.resize(picture, (0, 0), fx=_TINY_SCALE, fy=_TINY_SCALE)
        scale = max((height + 1) / picture.shape[0], (width + 1) / picture.shape[1])
        if scale > 1:
            size_wh = (int(np.ceil(picture.shape[1] * scale)), int(np.ceil(picture.shape[0] * scale)))
            picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_CUBIC)
        pictures.append(np.ascontiguousarray(picture[..., ::-1]))
    return tuple(pictures)
