"""One picture file, whatever its kind, as RGB bytes: upright by its EXIF data, first frame, transparency on mid-grey.

Nothing but a regular file of a known format is opened, and what its header says is looked at before anything is
decoded: a small file can claim a picture that no memory holds. Mid-grey (128) lies under transparent places because
drawings in black and in white both stay visible on it, and because it is the zero of our nets' input.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from flatnas.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Picture: TypeAlias = npt.NDArray[np.uint8]
"""One picture, shape (H, W, C)."""
T = TypeVar("T")

LARGEST_PIXELS = 50_000_000
GREY = 128
_SUFFIXES = {
    ".png": "PNG", ".apng": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".bmp": "BMP",
    ".dib": "BMP", ".gif": "GIF", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM",
    ".pbm": "PPM", ".pnm": "PPM", ".pfm": "PPM", ".jp2": "JPEG2000", ".j2k": "JPEG2000", ".jpx": "JPEG2000",
    ".j2c": "JPEG2000", ".avif": "AVIF", ".mpo": "JPEG",
}  # fmt: skip
_FEATURES = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}  # formats that a build of Pillow may lack
_OTHER_PICTURES = frozenset({
    ".arw", ".bw", ".cr2", ".cr3", ".cur", ".dcm", ".dds", ".dng", ".emf", ".eps", ".exr", ".fits", ".hdr", ".heic",
    ".heif", ".icns", ".ico", ".jxl", ".jxr", ".nef", ".orf", ".pcx", ".psd", ".qoi", ".raf", ".ras", ".raw", ".rw2",
    ".sgi", ".svg", ".tga", ".wmf", ".xbm", ".xcf", ".xpm",
})  # fmt: skip
_SIGNATURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture: size in pixels before it is turned, Pillow's mode (RGB, L, I;16), format."""

    width: int
    height: int
    mode: str
    format: str


@cache
def readable_suffixes() -> frozenset[str]:
    """Suffixes of the files that are read; AVIF, JPEG 2000 and WebP where the installed Pillow decodes them."""
    from PIL import features

    lacking = {format_ for format_, feature in _FEATURES.items() if not features.check(feature)}
    return frozenset(suffix for suffix, format_ in _SUFFIXES.items() if format_ not in lacking)


def looks_like_a_picture(path: Path) -> bool:
    """Whether a file that is not read may have been meant as a picture: by its suffix, or by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES or suffix in _OTHER_PICTURES:
        return True
    if suffix or not is_regular_file(path):
        return False
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_SIGNATURES)
    except OSError:
        return False


def is_regular_file(path: Path) -> bool:
    """Whether a path leads to a file with bytes; to open a pipe or a device could wait for ever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def read_header(path: Path) -> Header:
    """What the file says of its picture, without decoding it.

    Raises:
        DataError: why it can't be read, without the file's name.
    """
    return _open(path, _header)


def read_rgb(path: Path) -> Picture:
    """The picture, shape (H, W, 3): a function of the file's bytes alone.

    Raises:
        DataError: why it can't be read, without the file's name.
    """
    return _open(path, _upright_rgb)


def rgb_of(content: BinaryIO) -> Picture:
    """The picture in an open file, shape (H, W, 3).

    Raises:
        DataError: why it can't be read.
    """
    return _read(content, _upright_rgb)


def _open(path: Path, read: Callable[[Image], T]) -> T:
    if not is_regular_file(path):
        raise DataError("no regular file" if path.exists() else "no such file")
    return _read(path, read)


def _read(source: Path | BinaryIO, read: Callable[[Image], T]) -> T:
    import PIL.Image

    formats = sorted({_SUFFIXES[suffix] for suffix in readable_suffixes()})
    try:
        with PIL.Image.open(source, formats=formats) as image:
            _refuse_large(*image.size)
            return read(image)
    except DataError:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise DataError(f"more than {LARGEST_PIXELS:,} pixels") from error
    except PIL.UnidentifiedImageError as error:
        raise DataError("an empty file" if _is_empty(source) else "no picture of a known format") from error
    except Exception as error:  # on damaged files Pillow raises OSError, SyntaxError, struct.error, TypeError and more
        raise DataError(str(error) or type(error).__name__) from error


def _is_empty(source: Path | BinaryIO) -> bool:
    return not (source.stat().st_size if isinstance(source, Path) else source.seek(0, 2))


def _refuse_large(width: int, height: int) -> None:
    if width * height > LARGEST_PIXELS:
        raise DataError(f"{width:,} x {height:,} pixels, more than {LARGEST_PIXELS:,} in all")


def _header(image: Image) -> Header:
    return Header(*image.size, image.mode, image.format or "")


def _upright_rgb(image: Image) -> Picture:
    from PIL import ImageOps

    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F" or image.mode.startswith("I"):
        return np.repeat(_eight_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_grey(image if image.mode == "RGBA" else image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _eight_bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Grey values of 16 bits without their lower byte, or floats of 0 to 1 times 255, rounded.

    Raises:
        DataError: values that are in neither range; guessing a scale per picture would make pictures incomparable.
    """
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 1):  # false for NaN, too
            raise DataError(f"float values of {low:g} to {high:g}, not of 0 to 1; save it with 8 or 16 bits")
        return np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    if low < 0 or high > 0xFFFF:
        raise DataError(f"values of {low} to {high}, not of 0 to 65535; save it with 8 or 16 bits")
    return (values.astype(np.int64) >> 8).astype(np.uint8)


def _on_grey(rgba: Image) -> Picture:
    import PIL.Image

    ground = PIL.Image.new("RGB", rgba.size, (GREY, GREY, GREY))
    ground.paste(rgba, mask=rgba)
    return np.asarray(ground)
