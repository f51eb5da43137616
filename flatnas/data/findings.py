"""What can be wrong with a user's pictures, one function each.

A finding fails where `load_dataset` would refuse the data; the others are warnings, with the limits named here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatnas.data.listing import LeftOut, Part, below
from flatnas.data.near_copies import near
from flatnas.data.reading import ReadPicture, Unreadable

TINY_SIDE, ODD_ASPECT, IMBALANCE, FEW = 16, 3, 10, 20
PARTS: tuple[Part, ...] = ("train", "val", "test")
_MOST_CASES = 200  # kept of one finding: pictures of one fixed camera may all be near each other


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault.

    Attributes:
        kind: a word that programs know it by.
        fails: whether a run stops at it.
        text: one line for people.
        count: number of cases.
        cases: the first 200 of them, each the files concerned: one, or pictures that are alike.
    """

    kind: str
    fails: bool
    text: str
    count: int
    cases: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """The pictures that can be read, and the part of each."""

    root: Path
    class_names: Sequence[str]
    pictures: Sequence[ReadPicture]
    parts: Sequence[Part]

    def name(self, index: int) -> str:
        """A picture's path below the data's folder."""
        return below(self.root, self.pictures[index].file.path)


def unreadable(root: Path, files: Sequence[Unreadable]) -> Iterator[Finding]:
    """Files that are no picture."""
    yield from _files("unreadable", True, "can't be read", [f"{below(root, f.path)} ({f.reason})" for f in files])


def left_out(root: Path, files: Sequence[LeftOut]) -> Iterator[Finding]:
    """Files that look like a picture and are not taken."""
    told = [f"{below(root, f.path)} ({f.reason})" for f in files]
    yield from _files("left_out", False, "left out, though it may be meant as a picture", told)


def shapes(looked: Looked) -> Iterator[Finding]:
    """Pictures that are tiny, far from a square, or of one colour."""
    sizes = [p.own_hw for p in looked.pictures]
    tiny = [looked.name(i) for i, size in enumerate(sizes) if min(size) < TINY_SIDE]
    odd = [looked.name(i) for i, size in enumerate(sizes) if max(size) > ODD_ASPECT * min(size)]
    plain = [looked.name(i) for i, p in enumerate(looked.pictures) if p.one_colour]
    yield from _files("tiny", False, f"narrower or lower than {TINY_SIDE} pixels", tiny)
    yield from _files("odd_shape", False, f"more than {ODD_ASPECT} times as long as wide", odd)
    yield from _files("one_colour", False, "of a single colour", plain)


def copies(looked: Looked) -> Iterator[Finding]:
    """The same picture in several parts or classes."""
    by_content: dict[str, list[int]] = defaultdict(list)
    for i, picture in enumerate(looked.pictures):
        by_content[picture.sha256].append(i)
    same = [indices for indices in by_content.values() if len(indices) > 1]
    torn = [ids for ids in same if len({looked.parts[i] for i in ids}) > 1]
    doubtful = [ids for ids in same if len({looked.pictures[i].file.label for i in ids}) > 1]
    yield from _alike(looked, "copies_across_parts", "the same picture in several parts", torn, len(torn))
    yield from _alike(looked, "copies_across_classes", "the same picture in several classes", doubtful, len(doubtful))


def near_copies(looked: Looked) -> Iterator[Finding]:
    """Pictures of different parts or classes that look nearly alike."""
    hashes = np.array([p.perceptual_hash for p in looked.pictures], np.uint64)
    contents = np.array([p.sha256 for p in looked.pictures])
    for kind, told, of in (
        ("near_copies_across_parts", "pictures of different parts that look nearly alike", looked.parts),
        (
            "near_copies_across_classes",
            "pictures of different classes that look nearly alike",
            [p.file.label for p in looked.pictures],
        ),
    ):
        sides, count = np.array(of), 0
        cases: list[list[int]] = []
        for i, others in near(hashes, hashes):
            others = others[others > i]
            others = others[(sides[others] != sides[i]) & (contents[others] != contents[i])]
            count += len(others)
            cases += [[i, int(other)] for other in others[: _MOST_CASES - len(cases)]]
        yield from _alike(looked, kind, told, cases, count)


def torn_groups(looked: Looked) -> Iterator[Finding]:
    """Groups that given parts tear apart."""
    parts: dict[str, set[Part]] = defaultdict(set)
    for picture, part in zip(looked.pictures, looked.parts, strict=True):
        if picture.file.group is not None:
            parts[picture.file.group].add(part)
    yield from _files(
        "torn_groups", False, "groups that lie in several parts", [g for g, its in parts.items() if len(its) > 1]
    )


def balance(looked: Looked) -> Iterator[Finding]:
    """Classes of very different sizes, and classes with few pictures in some part."""
    counts = Counter((p.file.label, part) for p, part in zip(looked.pictures, looked.parts, strict=True))
    totals = [sum(counts[label, part] for part in PARTS) for label in range(len(looked.class_names))]
    if totals and max(totals) > IMBALANCE * min(totals):
        most, least = looked.class_names[int(np.argmax(totals))], looked.class_names[int(np.argmin(totals))]
        text = f"class '{most}' has {max(totals):,} pictures, class '{least}' {min(totals):,}"
        yield Finding("imbalance", False, f"{text}: more than {IMBALANCE} to 1", 1)
    for part in PARTS:
        few = [f"{name} ({counts[c, part]})" for c, name in enumerate(looked.class_names) if counts[c, part] < FEW]
        told = f"classes with fewer than {FEW} pictures in the part {part}: rates will have wide intervals"
        yield from _files(f"few_in_{part}", False, told, few)


def _files(kind: str, fails: bool, text: str, names: Sequence[str]) -> Iterator[Finding]:
    if names:
        yield Finding(kind, fails, text, len(names), tuple((name,) for name in names[:_MOST_CASES]))


def _alike(looked: Looked, kind: str, text: str, cases: Sequence[Sequence[int]], count: int) -> Iterator[Finding]:
    if count:
        named = (tuple(looked.name(i) for i in case) for case in cases[:_MOST_CASES])
        yield Finding(kind, False, text, count, tuple(named))
