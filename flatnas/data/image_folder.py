"""A user's own pictures: one folder per class, below `train/` and `test/` where they exist.

Within a class, pictures are ordered by the SHA-256 of their pixels and the first ones go to validation (and, without a
`test/`, to test). So the split depends on the pictures alone, not on their names, on a run's seed or on the resolution
that they are resized to; and copies of a picture, renamed or saved in another lossless format, stay on one side, even
if they lie in different classes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from flatnas.data.dataset import Dataset, Images, content_sha256
from flatnas.data.resize import resize
from flatnas.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif"})
TEST_SHARE, VAL_SHARE = 0.15, 0.15


T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """A resized picture, and the hash of what it was resized from."""

    pixels_hwc: npt.NDArray[np.uint8]
    label: int
    sha256: str


def own_resolution(folder: Path) -> int:
    """The median of the pictures' shorter sides, in pixels; 0 where there are none. Only their headers are read.

    Raises:
        DataError: an unreadable picture.
    """
    sides = [_open(path, lambda image: min(image.size)) for path in _paths(folder)]
    return int(np.median(sides)) if sides else 0


def load_image_folder(folder: Path, resolution: int) -> Dataset:
    """Read every picture as RGB: upright by its EXIF data, first frame, alpha dropped, squeezed to a square.

    With `train/` and `test/`, 15 % of `train/` become validation; without them, 15 % validation and 15 % test.

    Raises:
        DataError: an unreadable picture, fewer than two classes, a class without pictures in some part, or `train/`
            and `test/` with different classes.
    """
    has_train, has_test = (folder / "train").is_dir(), (folder / "test").is_dir()
    if has_train != has_test:
        there, lacking = ("train", "test") if has_train else ("test", "train")
        raise DataError(f"{folder} has {there}/ but no {lacking}/; add it, or put the class folders directly below")
    if not has_train:
        names = _class_names(folder)
        rest, test = _split(_read(folder, names, resolution), TEST_SHARE, "test", folder, names)
        train, val = _split(rest, VAL_SHARE / (1 - TEST_SHARE), "validation", folder, names)
    else:
        names = _class_names(folder / "train")
        if (in_test := _class_names(folder / "test")) != names:
            only = ", ".join(sorted(set(names) ^ set(in_test)))
            raise DataError(f"{folder}: train/ and test/ must have the same class folders; only one of them has {only}")
        pictures = _read(folder / "train", names, resolution)
        train, val = _split(pictures, VAL_SHARE, "validation", folder / "train", names)
        test = _read(folder / "test", names, resolution)
        _require_all(test, "test", folder / "test", names)
        _warn_of_overlap(folder, [*train, *val], test)
    parts = _images(train), _images(val), _images(test)
    return Dataset(str(folder), names, *parts, content_sha256(*parts), shift=resolution // 8)


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        raise DataError(f"{folder}: a data set needs one folder per class and at least two classes; found {found}")
    return names


def _read(folder: Path, names: Sequence[str], resolution: int) -> list[_Picture]:
    pictures = []
    for label, name in enumerate(names):
        for path in _paths(folder / name):
            pixels = _open(path, _upright_rgb)
            digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
            pictures.append(_Picture(resize(pixels[None], resolution)[0], label, digest))
    return pictures


def _paths(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        # ._photo.jpg is macOS's note about a photo, .thumbnails/photo.jpg a copy that another part would see
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden:
            yield path


def _split(
    pictures: Sequence[_Picture], share: float, part: str, folder: Path, names: Sequence[str]
) -> tuple[list[_Picture], list[_Picture]]:
    """(the others, about `share` of the distinct pictures of each class and at least one); order is kept."""
    _require_all(pictures, "training", folder, names)
    owner: dict[str, int] = {}  # the first class that a picture lies in decides for all its copies
    for picture in pictures:
        owner.setdefault(picture.sha256, picture.label)
    picked: set[str] = set()
    for label in range(len(names)):
        distinct = sorted(sha256 for sha256, its in owner.items() if its == label)
        picked.update(distinct[: max(1, round(share * len(distinct)))])
    rest = [p for p in pictures if p.sha256 not in picked]
    chosen = [p for p in pictures if p.sha256 in picked]
    _require_all(rest, "training", folder, names)
    _require_all(chosen, part, folder, names)
    return rest, chosen


def _require_all(pictures: Sequence[_Picture], part: str, folder: Path, names: Sequence[str]) -> None:
    present = {p.label for p in pictures}
    for label, name in enumerate(names):
        if label not in present:
            raise DataError(
                f"{folder}: class '{name}' has no picture left for the {part} part; add different ones "
                f"({', '.join(sorted(SUFFIXES))})"
            )


def _warn_of_overlap(folder: Path, training: Sequence[_Picture], test: Sequence[_Picture]) -> None:
    seen = {p.sha256 for p in training}
    if count := sum(p.sha256 in seen for p in test):
        log.warning(
            "%s: %d of %d test pictures are in train/, too; accuracy will look too good", folder, count, len(test)
        )


def _images(pictures: Sequence[_Picture]) -> Images:
    """The pictures in the order of their hashes: any prefix or batch holds all classes, and file names don't matter."""
    pictures = sorted(pictures, key=lambda p: p.sha256)
    return Images(np.stack([p.pixels_hwc for p in pictures]), np.array([p.label for p in pictures], np.int64))


def _open(path: Path, read: Callable[[Image], T]) -> T:
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            return read(image)
    except Exception as error:  # on damaged files Pillow raises OSError, SyntaxError, struct.error, TypeError and more
        raise DataError(f"{path} can't be read as a picture ({error}); mend or remove it") from error


def _upright_rgb(image: Image) -> npt.NDArray[np.uint8]:
    import PIL.Image
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode == "I" or upright.mode.startswith("I;16"):
        # a 16-bit PNG; convert("RGB") would clip nearly all of it to white
        upright = PIL.Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return np.array(upright.convert("RGB"))
