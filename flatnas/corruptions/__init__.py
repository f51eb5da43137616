"""The corruptions of CIFAR-10-C, batched and without torch: one table, and `corrupt`, which applies a row of it.

Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019,
arXiv 1903.12261. What draws no random numbers equals the published files byte for byte; what draws them is seeded per
image, so that any subset of a data set is corrupted as it would be within the whole. What a severity means depends on
the pictures' size (`severities`): larger ones get the parameters of Tiny-ImageNet-C or ImageNet-C.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from flatnas.corruptions import blur, digital, elastic, noise, spatter, weather
from flatnas.corruptions.corruption import STANDARD_15, Corruption, Generators, Pixels, Values
from flatnas.corruptions.severities import TABLES, Level, TableName, severity_table
from flatnas.data.grey import to_grey

__all__ = [
    "CORRUPTIONS",
    "SELECTING_CORRUPTIONS",
    "SELECTING_SEVERITIES",
    "SEVERITIES",
    "STANDARD_15",
    "Corruption",
    "TableName",
    "corrupt",
    "severity_table",
]

SEVERITIES = (1, 2, 3, 4, 5)
# the benchmark's own validation corruptions, which mCE leaves out: they may choose a network, and never train one
SELECTING_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
SELECTING_SEVERITIES = (2, 4)
_MIN_SIDE = 8
_CHUNK_PIXELS = 2**16  # 64 images of 32 x 32: intermediate float64 images stay at some MB whatever N is

CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("gaussian_noise", noise.gaussian_noise, seeded=True),
        Corruption("shot_noise", noise.shot_noise, seeded=True),
        Corruption("impulse_noise", noise.impulse_noise, seeded=True),
        Corruption("defocus_blur", blur.defocus_blur),
        Corruption("glass_blur", blur.glass_blur, seeded=True),
        Corruption("motion_blur", blur.motion_blur, seeded=True),
        Corruption("zoom_blur", blur.zoom_blur),
        Corruption("snow", weather.snow, seeded=True, colour=True),
        Corruption("frost", weather.frost, seeded=True, colour=True),
        Corruption("fog", weather.fog, seeded=True, colour=True),
        Corruption("brightness", weather.brightness, colour=True),
        Corruption("contrast", digital.contrast),
        Corruption("elastic_transform", elastic.elastic_transform, seeded=True),
        Corruption("pixelate", digital.pixelate),
        Corruption("jpeg_compression", digital.jpeg_compression, colour=True),
        # Extras, not part of mCE.
        Corruption("speckle_noise", noise.speckle_noise, seeded=True),
        Corruption("gaussian_blur", blur.gaussian_blur),
        Corruption("spatter", spatter.spatter, seeded=True, colour=True),
        Corruption("saturate", digital.saturate, colour=True),
    )
}


def corrupt(
    images_nhwc: Pixels,
    name: str,
    severity: int,
    indices: Sequence[int] | npt.NDArray[np.integer[Any]],
    seed: int = 0,
    *,
    table: TableName | None = None,
) -> Pixels:
    """Corrupt images at their native size.

    Args:
        images_nhwc: shape (N, H, W, 3), RGB, or (N, H, W, 1), grey; H and W at least 8. Bytes equal to CIFAR-10-C's
            are promised for RGB of 32 x 32.
        name: a key of `CORRUPTIONS`.
        severity: 1 to 5.
        indices: shape (N,), each image's position in its data set: random numbers depend on (seed, name, severity,
            index) alone, not on which other images are asked for.
        seed: 0 to 2**64 - 1.
        table: whose parameters the severity means; by default `severity_table` of the shorter side.

    Returns:
        A new array of the same shape; float results are truncated, not rounded, as in the published files.

    Raises:
        TypeError: the images are not uint8.
        ValueError: an unknown corruption or table, or a severity, shape, index or seed out of range.
    """
    corruption = _find(name)
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be one of 1, 2, 3, 4, 5; got {severity!r}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be in 0..2**64 - 1; got {seed}")
    if table is not None and table not in TABLES:
        raise ValueError(f"table must be one of {', '.join(TABLES)}; got {table!r}")
    _check_images(images_nhwc)
    level = Level(severity, table or severity_table(min(images_nhwc.shape[1:3])))
    positions = _positions(indices, len(images_nhwc))

    corrupted = np.empty_like(images_nhwc, order="C")
    step = max(1, _CHUNK_PIXELS // (images_nhwc.shape[1] * images_nhwc.shape[2]))
    for start in range(0, len(images_nhwc), step):
        chunk = slice(start, start + step)
        generators = _generators(seed, name, severity, positions[chunk])
        # Casting from float truncates.
        corrupted[chunk] = _applied(corruption, images_nhwc[chunk], level, generators)
    return corrupted


def _applied(corruption: Corruption, images: Pixels, level: Level, generators: Generators) -> Values:
    """The corruption of some images; what knows RGB only sees a grey image three times, and its luma counts."""
    if not corruption.colour or images.shape[3] == 3:
        return corruption.apply(images, level, generators)
    return to_grey(corruption.apply(np.repeat(images, 3, axis=3), level, generators).astype(np.uint8))


def _generators(seed: int, name: str, severity: int, positions: npt.NDArray[np.uint64]) -> Generators:
    """A generator per image, from a counter-based source (Philox): the key is the experiment, the counter the image.

    The lowest word of the counter counts the draws and the highest is the image's index, so streams never meet (Salmon
    et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The name enters by its CRC-32, not by its place in
    the table, so that a new row changes no stream.
    """
    key = np.array([seed, crc32(name.encode()) << 8 | severity], dtype=np.uint64)
    for position in positions:
        counter = np.array([0, 0, 0, position], dtype=np.uint64)
        yield np.random.Generator(np.random.Philox(key=key, counter=counter))


def _find(name: str) -> Corruption:
    if name in CORRUPTIONS:
        return CORRUPTIONS[name]
    near = get_close_matches(name, CORRUPTIONS, n=1, cutoff=0.0)[0]
    raise ValueError(f"no corruption '{name}'; did you mean '{near}'? choices: {', '.join(CORRUPTIONS)}")


def _check_images(images: Pixels) -> None:
    if images.dtype != np.uint8:
        raise TypeError(f"images must be uint8; got {images.dtype}")
    if images.ndim != 4 or images.shape[3] not in (1, 3) or min(images.shape[1:3]) < _MIN_SIDE:
        raise ValueError(
            f"images must have shape (N, H, W, 3) or (N, H, W, 1) with H, W >= {_MIN_SIDE}; got {images.shape}"
        )


def _positions(indices: Sequence[int] | npt.NDArray[np.integer[Any]], n: int) -> npt.NDArray[np.uint64]:
    positions = np.asarray(indices)
    if positions.shape != (n,):
        raise ValueError(f"indices must have shape ({n},), one per image; got {positions.shape}")
    if n and (positions.dtype.kind not in "iu" or positions.min() < 0):
        raise ValueError(f"indices must be integers >= 0; got dtype {positions.dtype}, smallest {positions.min()}")
    return positions.astype(np.uint64)
