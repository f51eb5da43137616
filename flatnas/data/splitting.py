"""Which part a picture is in: given by the user, decided by its content, or by its group.

Without groups, the pictures of a class are ordered by the SHA-256 of their pixels, and the first ones go to the test
part and to validation. So the split depends on the pictures alone, not on their names, on a run's seed or on the
resolution that they are resized to; and copies of a picture, renamed or saved in another lossless format, stay on one
side, even if they lie in different classes.

With groups, whole groups are placed, the largest first, each where the shares of its classes miss least afterwards.
Groups that hold copies of one picture count as one.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flatnas.data.listing import Part, few_of
from flatnas.data.pictures import readable_suffixes
from flatnas.data.reading import ReadPicture

VAL_SHARE, TEST_SHARE = 0.15, 0.15
_TITLES: Mapping[Part, str] = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Split:
    """The part of each picture, and one line for each reason why it is no usable split."""

    parts: tuple[Part, ...]
    faults: tuple[str, ...]


def split(pictures: Sequence[ReadPicture], class_names: Sequence[str]) -> Split:
    """Place every picture; parts that are given stay, and validation is taken from `train` where it is not given."""
    given = {picture.file.part for picture in pictures}
    shares: dict[Part, float] = {"val": VAL_SHARE} if "val" not in given else {}
    if given <= {None}:
        shares = {"test": TEST_SHARE, "val": VAL_SHARE}
    open_ = [picture for picture in pictures if picture.file.part in (None, "train")]
    grouped = any(picture.file.group is not None for picture in open_)
    placed = iter(_by_group(open_, shares, len(class_names)) if grouped else _by_content(open_, shares))
    parts = tuple(
        next(placed) if (part := picture.file.part) is None or part == "train" else part for picture in pictures
    )
    faults = _too_few_groups(open_, class_names, len(shares) + 1) if grouped and shares else ()
    return Split(parts, faults or _empty(pictures, parts, class_names))


def _by_content(pictures: Sequence[ReadPicture], shares: Mapping[Part, float]) -> list[Part]:
    """About a share of the distinct pictures of each class for each part, one at least, the first of the hashes."""
    part_of: dict[str, Part] = {}
    remaining = 1.0
    for part, share in shares.items():
        owner: dict[str, int] = {}  # the first class that a picture lies in decides for all its copies
        for picture in pictures:
            if picture.sha256 not in part_of:
                owner.setdefault(picture.sha256, picture.file.label)
        by_class: dict[int, list[str]] = defaultdict(list)
        for sha256 in sorted(owner):
            by_class[owner[sha256]].append(sha256)
        for distinct in by_class.values():
            part_of |= dict.fromkeys(distinct[: max(1, round(share / remaining * len(distinct)))], part)
        remaining -= share
    return [part_of.get(picture.sha256, "train") for picture in pictures]


def _by_group(pictures: Sequence[ReadPicture], shares: Mapping[Part, float], classes: int) -> list[Part]:
    """Place groups one by one, the largest first, so that the sum of (share - wanted)^2 / wanted is least after each.

    A group goes to a part that has none of its class yet where the class has no more groups than parts without it.
    """
    unit_of = units(pictures)
    counts = {unit: np.zeros(classes, np.int64) for unit in unit_of}
    for picture, unit in zip(pictures, unit_of, strict=True):
        counts[unit][picture.file.label] += 1
    parts: list[Part] = [*shares, "train"]
    wanted = np.array([*shares.values(), 1 - sum(shares.values())])[:, None]
    total = np.maximum(np.sum(list(counts.values()), axis=0), 1)
    waiting = np.sum([count > 0 for count in counts.values()], axis=0)  # groups of each class
    filled = np.zeros((len(parts), classes), np.int64)
    part_of: dict[str, Part] = {}
    for unit in sorted(counts, key=lambda unit: (-counts[unit].sum(), hashlib.sha256(unit.encode()).digest())):
        count = counts[unit]
        misses = (((filled + count) / total - wanted) ** 2 - (filled / total - wanted) ** 2) / wanted
        scarce = (count > 0) & (waiting <= (filled == 0).sum(axis=0))
        needy = ((filled == 0) & scarce).any(axis=1)
        best = int(np.argmin(np.where(needy | ~needy.any(), misses.sum(axis=1), np.inf)))
        filled[best] += count
        waiting = waiting - (count > 0)
        part_of[unit] = parts[best]
    return [part_of[unit] for unit in unit_of]


def units(pictures: Sequence[ReadPicture]) -> list[str]:
    """What each picture must stay together with: its group, joined with the groups that hold copies of its pictures."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while (above := leader.setdefault(name, name)) != name:
            leader[name] = leader[above]
            name = above
        return name

    first_group: dict[str, str] = {}
    for picture in pictures:
        group = picture.file.group or ""
        a, b = find(group), find(first_group.setdefault(picture.sha256, group))
        leader[max(a, b)] = min(a, b)
    return [find(picture.file.group or "") for picture in pictures]


def _too_few_groups(pictures: Sequence[ReadPicture], class_names: Sequence[str], parts: int) -> tuple[str, ...]:
    groups: dict[int, set[str]] = defaultdict(set)
    for picture, unit in zip(pictures, units(pictures), strict=True):
        groups[picture.file.label].add(unit)
    return tuple(
        f"class '{class_names[label]}' has {len(names)} group{'s' * (len(names) > 1)} ({few_of(sorted(names))}), and "
        f"{parts} parts need one each; add pictures of other groups, or group them by something else"
        for label, names in sorted(groups.items())
        if len(names) < parts
    )


def _empty(pictures: Sequence[ReadPicture], parts: Sequence[Part], class_names: Sequence[str]) -> tuple[str, ...]:
    present = {(picture.file.label, part) for picture, part in zip(pictures, parts, strict=True)}
    order: tuple[Part, ...] = ("train", "val", "test")
    suffixes = ", ".join(sorted(readable_suffixes()))
    return tuple(
        f"class '{name}' has no picture left for the {_TITLES[part]} part; add different ones ({suffixes})"
        for label, name in enumerate(class_names)
        if (part := next((part for part in order if (label, part) not in present), None))
    )
