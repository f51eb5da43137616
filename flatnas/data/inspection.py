"""A close look at a user's pictures before hours are spent on them: counts, sizes, and every finding at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatnas.data.findings import (
    Finding,
    Looked,
    balance,
    copies,
    left_out,
    near_copies,
    shapes,
    torn_groups,
    unreadable,
)
from flatnas.data.image_folder import OpenedFolder, preparing
from flatnas.data.listing import Part, below
from flatnas.data.pictures import Header, Picture
from flatnas.data.preparation import Preparation, classes_that_mirroring_changes, fitted
from flatnas.data.progress import Progress, silent
from flatnas.data.reading import ReadPicture, Unreadable, read_pictures
from flatnas.data.splitting import split

_LARGEST_THUMBNAIL = 64


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Pictures of a class in each part, and how many groups they come in (0 without groups)."""

    name: str
    train: int
    val: int
    test: int
    groups: int


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Of a length in pixels."""

    smallest: int
    lower: int
    median: int
    upper: int
    largest: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a data set of the user's own is like.

    Attributes:
        pictures: that can be read.
        size_hw: height and width that a run would use.
        widths, heights: of the pictures as they are; None without pictures.
        modes, formats: how many files say so in their headers; modes as Pillow names them.
        mirrors: whether training would mirror pictures.
    """

    path: str
    pictures: int
    size_hw: tuple[int, int]
    mirrors: bool
    classes: tuple[ClassCount, ...]
    widths: Quartiles | None
    heights: Quartiles | None
    modes: dict[str, int]
    formats: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether a run would start."""
        return not any(finding.fails for finding in self.findings)


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """A picture as a net would see it, at most 64 pixels wide and high."""

    file: str
    label: int
    part: Part
    pixels_hwc: Picture


@dataclass(frozen=True, slots=True, eq=False)
class Inspected:
    """What was found, and all pictures to show it with."""

    inspection: Inspection
    thumbnails: tuple[Thumbnail, ...]


def inspect(
    path: Path,
    opened: OpenedFolder,
    preparation: Preparation,
    size_hw: tuple[int, int],
    progress: Progress = silent,
) -> Inspected:
    """Look at every picture; nothing that is wrong with the data is an exception."""
    listing = opened.listing
    shrink, scale = preparing(preparation, size_hw), min(1, _LARGEST_THUMBNAIL / max(size_hw))
    thumbnail_hw = (max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale)))
    results = read_pictures(
        listing.files, opened.headers, lambda rgb: fitted(shrink(rgb), thumbnail_hw, "area"), progress
    )
    pictures = [result for result in results if isinstance(result, ReadPicture)]
    divided = split(pictures, listing.class_names)
    looked = Looked(listing.root, listing.class_names, pictures, divided.parts)
    findings = [
        *(Finding("layout", True, fault, 1) for fault in listing.faults),
        *unreadable(listing.root, [result for result in results if isinstance(result, Unreadable)]),
        *(Finding("parts", True, fault, 1) for fault in divided.faults if not listing.faults),
        *left_out(listing.root, listing.left_out),
        *shapes(looked),
        *copies(looked),
        *near_copies(looked),
        *torn_groups(looked),
        *balance(looked),
    ]
    headers = [header for header in opened.headers if isinstance(header, Header)]
    mirrors = preparation.mirrors
    inspection = Inspection(
        path=str(path),
        pictures=len(pictures),
        size_hw=size_hw,
        mirrors=not classes_that_mirroring_changes(listing.class_names) if mirrors is None else mirrors,
        classes=_counts(looked),
        widths=_quartiles([p.own_hw[1] for p in pictures]),
        heights=_quartiles([p.own_hw[0] for p in pictures]),
        modes=dict(sorted(Counter(header.mode for header in headers).items())),
        formats=dict(sorted(Counter(header.format for header in headers).items())),
        findings=tuple(findings),
    )
    thumbnails = tuple(
        Thumbnail(below(listing.root, p.file.path), p.file.label, part, p.pixels_hwc)
        for p, part in zip(pictures, divided.parts, strict=True)
    )
    return Inspected(inspection, thumbnails)


def _counts(looked: Looked) -> tuple[ClassCount, ...]:
    counted = Counter((p.file.label, part) for p, part in zip(looked.pictures, looked.parts, strict=True))
    groups = {(p.file.label, p.file.group) for p in looked.pictures if p.file.group is not None}
    per_class = Counter(label for label, _ in groups)
    return tuple(
        ClassCount(name, counted[c, "train"], counted[c, "val"], counted[c, "test"], per_class[c])
        for c, name in enumerate(looked.class_names)
    )


def _quartiles(lengths: Sequence[int]) -> Quartiles | None:
    if not lengths:
        return None
    return Quartiles(*(int(value) for value in np.percentile(lengths, (0, 25, 50, 75, 100), method="nearest")))
