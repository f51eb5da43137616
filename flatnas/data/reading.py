"""Many picture files at once: in threads, in the files' order, with all unreadable ones named together.

Pillow and OpenCV leave Python's lock while they work on pixels. Few pictures are under way at a time, and of large ones
only one: beside the result, the largest that is read (50 million pixels, transparent) takes 1.2 GB, others much less.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

from flatnas.data.listing import PictureFile
from flatnas.data.near_copies import perceptual_hash
from flatnas.data.pictures import Header, Picture, read_header, read_rgb
from flatnas.data.progress import Progress, silent
from flatnas.errors import DataError

T = TypeVar("T")
R = TypeVar("R")
_LARGE_PIXELS = 1 << 24
_AHEAD = 4  # files per thread that are under way or wait to be taken


@dataclass(frozen=True, slots=True, eq=False)
class ReadPicture:
    """A picture of a data set.

    Attributes:
        pixels_hwc: as the data set holds it.
        sha256: of its RGB pixels at its own size: equal for copies in other lossless formats.
        perceptual_hash: of `flatnas.data.near_copies`.
        own_hw: its own height and width, upright.
        one_colour: whether all its pixels are equal.
    """

    file: PictureFile
    pixels_hwc: Picture
    sha256: str
    perceptual_hash: int
    own_hw: tuple[int, int]
    one_colour: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is no picture, and why."""

    path: Path
    reason: str


def read_headers(files: Sequence[PictureFile]) -> list[Header | Unreadable]:
    """What each file says of its picture, or why it can't be read."""

    def read(file: PictureFile) -> Header | Unreadable:
        try:
            return read_header(file.path)
        except DataError as error:
            return Unreadable(file.path, str(error))

    return list(_in_order(read, files))


def read_pictures(
    files: Sequence[PictureFile],
    headers: Sequence[Header | Unreadable],
    prepare: Callable[[Picture], Picture],
    progress: Progress = silent,
) -> list[ReadPicture | Unreadable]:
    """The pictures in the files' order, each independent of the others and of the number of threads.

    Args:
        headers: of `read_headers`; files without one are not opened again.
        prepare: from the RGB picture at its own size to what the data set holds.
    """
    large = Lock()

    def read(pair: tuple[PictureFile, Header | Unreadable]) -> ReadPicture | Unreadable:
        file, header = pair
        if isinstance(header, Unreadable):
            return header
        try:
            if header.width * header.height <= _LARGE_PIXELS:
                return _read(file, prepare)
            with large:
                return _read(file, prepare)
        except DataError as error:
            return Unreadable(file.path, str(error))

    results = []
    for result in _in_order(read, list(zip(files, headers, strict=True))):
        results.append(result)
        progress(len(results), len(files))
    return results


def _read(file: PictureFile, prepare: Callable[[Picture], Picture]) -> ReadPicture:
    rgb = read_rgb(file.path)
    digest = hashlib.sha256(repr(rgb.shape).encode())
    digest.update(rgb.data)
    one_colour = all(bool((row == rgb[0, 0]).all()) for row in rgb)  # row by row: most end at the first
    return ReadPicture(
        file, prepare(rgb), digest.hexdigest(), perceptual_hash(rgb), (rgb.shape[0], rgb.shape[1]), one_colour
    )


def _in_order(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    threads = min(os.cpu_count() or 1, 8)
    waiting: deque[Future[R]] = deque()
    # Pillow warns of pictures that are refused here, of damaged EXIF data and more, once per file
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
