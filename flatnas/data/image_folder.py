"""A user's own pictures as a data set: list the files, read them, split them.

`listing` and `csv_list` say which files there are, `pictures` how one becomes RGB bytes, `splitting` which part each is
in. Every fault of a step is collected, so that one message names them all; `inspection` looks closer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatnas.data.csv_list import list_csv
from flatnas.data.dataset import Dataset, Images, content_sha256
from flatnas.data.grey import to_grey
from flatnas.data.listing import Listing, Part, below, few_of, list_folder
from flatnas.data.near_copies import near
from flatnas.data.pictures import Header, Picture
from flatnas.data.preparation import Preparation, classes_that_mirroring_changes, fitted
from flatnas.data.progress import Progress, silent
from flatnas.data.reading import ReadPicture, Unreadable, read_headers, read_pictures
from flatnas.data.splitting import split
from flatnas.errors import DataError

log = logging.getLogger(__name__)

PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class OpenedFolder:
    """A data set whose files are listed, and whose headers are read."""

    listing: Listing
    headers: tuple[Header | Unreadable, ...]

    @property
    def own_side(self) -> int:
        """The median of the pictures' shorter sides, in pixels; 0 where none can be read."""
        sides = [min(header.width, header.height) for header in self.headers if isinstance(header, Header)]
        return int(np.median(sides)) if sides else 0


def is_own_data(path: Path) -> bool:
    """Whether a path is a folder, or a list of pictures (.csv)."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() == ".csv")


def open_folder(path: Path, group_by: str | None = None) -> OpenedFolder:
    """List the pictures of a folder or a CSV file, and read their headers.

    Raises:
        DataError: the folder or the list can't be read.
    """
    listing = list_folder(path, group_by) if path.is_dir() else list_csv(path, group_by)
    return OpenedFolder(listing, tuple(read_headers(listing.files)))


def size_of(opened: OpenedFolder, preparation: Preparation, allowed: range) -> tuple[int, int]:
    """Height and width of the data set's pictures: what is asked for, or squares of their own size, as far as allowed.

    Raises:
        DataError: the size that is asked for is not allowed.
    """
    own_side = min(max(opened.own_side, allowed[0]), allowed[-1])
    size_hw = preparation.size_hw or (own_side, own_side)
    if bad := [side for side in size_hw if side not in allowed]:
        raise DataError(f"the search space takes images of {allowed[0]} to {allowed[-1]} pixels, not of {bad[0]}")
    return size_hw


def load_image_folder(
    path: Path,
    opened: OpenedFolder,
    preparation: Preparation,
    size_hw: tuple[int, int],
    progress: Progress = silent,
) -> Dataset:
    """Read every picture, upright, as RGB or grey, at one size. Split where no parts are given: 70, 15, 15 %.

    Where there are `train/` and `test/` only, 15 % of `train/` become validation.

    Raises:
        DataError: unreadable pictures, fewer than two classes, a class without pictures in some part, parts with
            different classes, or fewer groups than parts.
    """
    listing = opened.listing
    _refuse(path, listing.faults)
    _warn_of_left_out(path, listing)
    results = read_pictures(listing.files, opened.headers, preparing(preparation, size_hw), progress)
    pictures = [result for result in results if isinstance(result, ReadPicture)]
    if unreadable := [result for result in results if isinstance(result, Unreadable)]:
        raise DataError(told_of_unreadable(listing.root, unreadable))
    divided = split(pictures, listing.class_names)
    _refuse(path, [f"{path}: {fault}" for fault in divided.faults])
    _warn_of_copies(path, pictures, divided.parts)
    _warn_of_groups(path, pictures, divided.parts)
    parts = [_images([p for p, its in zip(pictures, divided.parts, strict=True) if its == part]) for part in PARTS]
    train, val, test = parts
    return Dataset(
        str(path),
        listing.class_names,
        train,
        val,
        test,
        content_sha256(*parts),
        mirrors=_mirrors(path, preparation, listing.class_names),
        shift=min(size_hw) // 8,
    )


def preparing(preparation: Preparation, size_hw: tuple[int, int]) -> Callable[[Picture], Picture]:
    """The function from an RGB picture at its own size to what the data set holds."""

    def prepare(rgb: Picture) -> Picture:
        fitting = fitted(rgb, size_hw, preparation.resize)
        return to_grey(fitting) if preparation.channels == 1 else fitting

    return prepare


def told_of_unreadable(root: Path, unreadable: Sequence[Unreadable]) -> str:
    """One line about the pictures that can't be read: the first names and reasons, and how many there are."""
    named = [f"{below(root, one.path)} ({one.reason})" for one in unreadable]
    if len(named) == 1:
        return f"{unreadable[0].path} can't be read as a picture ({unreadable[0].reason}); mend or remove it"
    return f"{root}: {len(named):,} pictures can't be read: {few_of(named)}; mend or remove them"


def _refuse(path: Path, faults: Sequence[str]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more; 'pipeline data check {path}' lists them)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{more}")


def _warn_of_left_out(path: Path, listing: Listing) -> None:
    if listing.left_out:
        named = [f"{below(listing.root, one.path)} ({one.reason})" for one in listing.left_out]
        log.warning("%s: left out, though it may be meant as a picture: %s", path, few_of(named))


def _warn_of_copies(path: Path, pictures: Sequence[ReadPicture], parts: Sequence[Part]) -> None:
    """Of test pictures that training or validation has, too: equal ones, else nearly equal ones."""
    seen = [p for p, part in zip(pictures, parts, strict=True) if part != "test"]
    test = [p for p, part in zip(pictures, parts, strict=True) if part == "test"]
    known = {p.sha256 for p in seen}
    others = [p for p in test if p.sha256 not in known]
    if count := len(test) - len(others):
        log.warning(
            "%s: %d of %d test pictures are in train/, too; accuracy will look too good", path, count, len(test)
        )
    hashes = [np.array([p.perceptual_hash for p in some], np.uint64) for some in (others, seen)]
    if count := sum(1 for _ in near(*hashes)):
        log.warning(
            "%s: %d of %d test pictures look nearly like one of training or validation; if they are copies, accuracy "
            "looks too good ('pipeline data check' lists them)",
            path,
            count,
            len(test),
        )


def _warn_of_groups(path: Path, pictures: Sequence[ReadPicture], parts: Sequence[Part]) -> None:
    """Of groups in the test part that training or validation has, too; only parts that are given can be so."""
    test = {p.file.group for p, part in zip(pictures, parts, strict=True) if part == "test"}
    seen = {p.file.group for p, part in zip(pictures, parts, strict=True) if part != "test"}
    if both := sorted(group for group in test & seen if group is not None):
        log.warning("%s: groups of the test part are in train/, too: %s", path, few_of(both))


def _mirrors(path: Path, preparation: Preparation, class_names: Sequence[str]) -> bool:
    if preparation.mirrors is not None:
        return preparation.mirrors
    if told := classes_that_mirroring_changes(class_names):
        log.warning(
            "%s: training mirrors no picture, because the class%s %s may not look the same in a mirror",
            path,
            "es" * (len(told) > 1),
            few_of([f"'{name}'" for name in told]),
        )
    return not told


def _images(pictures: Sequence[ReadPicture]) -> Images:
    """The pictures in the order of their hashes: any prefix or batch holds all classes, and file names don't matter."""
    pictures = sorted(pictures, key=lambda p: p.sha256)
    return Images(np.stack([p.pixels_hwc for p in pictures]), np.array([p.file.label for p in pictures], np.int64))
