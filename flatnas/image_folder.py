"""A user's own pictures: one folder per class, below `train/` and `test/` where they exist.

Without `test/`, pictures are split by the hash of their bytes, so that duplicates stay on one side.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flatnas.datasets import Dataset, Images, content_sha256
from flatnas.errors import DataError

RESOLUTION = 32  # of the search space
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif"}
_TEST_SHARE, _VAL_SHARE = 0.2, 0.15


def load_image_folder(folder: Path) -> Dataset:
    """Read every picture as 32x32 RGB.

    Raises:
        DataError: an unreadable picture, fewer than two classes, or a class without pictures in some part.
    """
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        names = _class_names(folder / "train")
        if _class_names(folder / "test") != names:
            raise DataError(f"{folder}: train/ and test/ must have the same class folders; they have {names} and {_class_names(folder / 'test')}")
        rest, test = _files(folder / "train", names), _files(folder / "test", names)
    else:
        names = _class_names(folder)
        rest, test = _split_by_hash(_files(folder, names), _TEST_SHARE, salt="test")
    train, val = _split_by_hash(rest, _VAL_SHARE, salt="val")
    for part, files in (("training", train), ("validation", val), ("test", test)):
        counts = [sum(c == label for _, label in files) for c in range(len(names))]
        if min(counts) == 0:
            empty = names[counts.index(0)]
            raise DataError(f"{folder}: class '{empty}' has no picture for the {part} part; add more (20 or so make sure that every part gets one)")
    parts = [_read(files) for files in (train, val, test)]
    return Dataset(str(folder), names, *parts, content_sha256(*parts))


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        raise DataError(f"{folder}: a data set needs one folder per class and at least two classes; found {found}")
    return names


def _files(folder: Path, names: tuple[str, ...]) -> list[tuple[Path, int]]:
    return [(p, label) for label, name in enumerate(names) for p in sorted((folder / name).rglob("*")) if p.suffix.lower() in _SUFFIXES]


def _split_by_hash(files: list[tuple[Path, int]], share: float, salt: str) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
    """(the others, about `share` of them): whether a picture is picked depends on its bytes alone."""

    def picked(path: Path) -> bool:
        digest = hashlib.sha256(salt.encode() + path.read_bytes()).digest()
        return int.from_bytes(digest[:8]) < share * 2**64

    marks = [picked(path) for path, _ in files]
    return [f for f, m in zip(files, marks, strict=True) if not m], [f for f, m in zip(files, marks, strict=True) if m]


def _read(files: list[tuple[Path, int]]) -> Images:
    pixels = np.stack([_pixels(path) for path, _ in files])
    return Images(pixels, np.array([label for _, label in files], np.int64))


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(upright.resize((RESOLUTION, RESOLUTION), Image.Resampling.LANCZOS), np.uint8)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} can't be read as a picture ({error}); mend or remove it") from error
