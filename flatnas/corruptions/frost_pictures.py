"""The photographs of frost that the frost corruption lays over pictures.

They are the first five of the six in the package imagecorruptions 1.1.2 (Apache-2.0), which has them from
hendrycks/robustness (Apache-2.0), scaled to a fifth of their size by OpenCV as the published generator does. The sixth
is never drawn there. Why they are shipped: docs/decisions/0005-frost-pictures.md.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
_COUNT = 5


@cache
def frost_pictures(height: int, width: int) -> tuple[Picture, ...]:
    """The pictures, RGB, each larger than height x width: enlarged as far as that needs, cubically."""
    import cv2

    pictures = []
    for number in range(1, _COUNT + 1):
        file = files("flatnas.corruptions").joinpath("frost", f"frost{number}.png")
        picture: Any = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        scale = max((height + 1) / picture.shape[0], (width + 1) / picture.shape[1])
        if scale > 1:
            size_wh = (int(np.ceil(picture.shape[1] * scale)), int(np.ceil(picture.shape[0] * scale)))
            picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_CUBIC)
        pictures.append(np.ascontiguousarray(picture[..., ::-1]))
    return tuple(pictures)
