"""Which pictures a data set has: the files of a folder, their classes, and the parts and groups that are given.

A folder holds one folder per class, or `train/`, `test/` and perhaps `val/` with one folder per class each. What looks
like a picture and is not taken is remembered, so that nothing is left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flatnas.data.pictures import is_regular_file, looks_like_a_picture, readable_suffixes
from flatnas.data.preparation import BY_FOLDER
from flatnas.errors import DataError

Part = Literal["train", "val", "test"]
PART_NAMES: dict[str, Part] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file with its class.

    Attributes:
        label: index of the class.
        part: None where the split is still to be made.
        group: pictures of one group stay in one part; None for a picture that belongs to none.
    """

    path: Path
    label: int
    part: Part | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that looks like a picture and is not taken."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The pictures of a data set, before any is read.

    Attributes:
        root: folder that paths are shown relative to.
        faults: one line each; with any of them there is no data set.
    """

    root: Path
    class_names: tuple[str, ...]
    files: tuple[PictureFile, ...]
    left_out: tuple[LeftOut, ...] = ()
    faults: tuple[str, ...] = ()


def list_folder(folder: Path, group_by: str | None = None) -> Listing:
    """The pictures below a folder; hidden files are no pictures.

    Args:
        group_by: as of `Preparation`.

    Raises:
        DataError: a folder can't be read.
    """
    walk = _Walk(folder, group_by)
    below = walk.enter(folder)
    tops = [name for name in below if name in PART_NAMES]
    if not {"train", "test"} & {PART_NAMES[name] for name in tops}:
        walk.require_classes(folder, below)
        for label, name in enumerate(below):
            walk.take(folder / name, label, None)
        return walk.listing(below)
    classes = {top: walk.enter(folder / top) for top in tops}
    names = sorted(set().union(*classes.values()))
    walk.require_parts(classes)
    walk.left_out += [LeftOut(folder / name, "beside train/ and test/") for name in below if name not in tops]
    for top in tops:
        for name in classes[top]:
            walk.take(folder / top / name, names.index(name), PART_NAMES[top])
    return walk.listing(names)


@dataclass(slots=True)
class _Walk:
    """Collects files, what is left out, and faults."""

    root: Path
    group_by: str | None
    files: list[PictureFile] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    without_group: list[Path] = field(default_factory=list)

    def enter(self, folder: Path) -> list[str]:
        """The visible folders directly below one that holds no pictures itself."""
        entries = [entry for entry in _entries(folder) if not entry.name.startswith(".")]
        loose = [entry for entry in entries if not entry.is_dir() and looks_like_a_picture(entry)]
        self.left_out += [LeftOut(path, "in no class folder") for path in loose]
        return [entry.name for entry in entries if entry.is_dir()]

    def take(self, folder: Path, label: int, part: Part | None) -> None:
        """All pictures of a class, at any depth."""
        for path in _files_below(folder, self.left_out):
            if path.suffix.lower() not in readable_suffixes():
                if looks_like_a_picture(path):
                    self.left_out.append(LeftOut(path, f"{path.suffix or 'no suffix'} is not read"))
            elif not is_regular_file(path):
                self.left_out.append(LeftOut(path, "no regular file"))
            else:
                group = None if self.group_by is None else group_of(path.relative_to(folder), self.group_by)
                if self.group_by is not None and group is None:
                    self.without_group.append(path)
                self.files.append(PictureFile(path, label, part, group))

    def require_classes(self, folder: Path, names: Sequence[str]) -> None:
        """Two classes at least."""
        if len(names) < 2:
            found = f"only '{names[0]}'" if names else "none"
            self.faults.append(
                f"{folder}: a data set needs one folder per class and at least two classes; found {found}"
            )

    def require_parts(self, classes: dict[str, list[str]]) -> None:
        """Both `train/` and `test/`, at most one folder for validation, and the same classes in all."""
        given = [PART_NAMES[top] for top in classes]
        for there, lacking in (("train", "test"), ("test", "train")):
            if lacking not in given:
                self.faults.append(
                    f"{self.root} has {there}/ but no {lacking}/; add it, or put the class folders directly below"
                )
        if given.count("val") > 1:
            several = " and ".join(f"{top}/" for top in classes if PART_NAMES[top] == "val")
            self.faults.append(f"{self.root} has {several}; keep one of them")
        for top, names in classes.items():
            self.require_classes(self.root / top, names)
        every, common = set().union(*classes.values()), set.intersection(*map(set, classes.values()))
        if every != common:
            tops, only = " and ".join(f"{top}/" for top in classes), ", ".join(sorted(every - common))
            self.faults.append(f"{self.root}: {tops} must have the same class folders; not all of them have {only}")

    def listing(self, names: Sequence[str]) -> Listing:
        """What was collected."""
        if paths := [path.relative_to(self.root) for path in self.without_group]:
            self.faults.append(f"{self.root}: groups by '{self.group_by}' match nothing in {few_of(paths)}")
        return Listing(self.root, tuple(names), tuple(self.files), tuple(self.left_out), tuple(self.faults))


def group_of(path: Path, group_by: str) -> str | None:
    """The group of a picture by its path below the class's folder; None where the expression matches nothing."""
    if group_by == BY_FOLDER:
        return path.parent.as_posix()
    match = re.search(group_by, path.as_posix())
    return None if match is None else match[1] if match.re.groups else match[0]


def _files_below(folder: Path, left_out: list[LeftOut]) -> list[Path]:
    """Visible files at any depth, ascending. Links to folders could lead in a circle, so they are left out."""
    found = []
    for entry in _entries(folder):
        # ._photo.jpg is macOS's note about a photo, .thumbnails/photo.jpg a copy that another part would see
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            found.append(entry)
        elif entry.is_symlink():
            left_out.append(LeftOut(entry, "a link to a folder"))
        else:
            found += _files_below(entry, left_out)
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} can't be read ({error.strerror})") from error


def below(root: Path, path: Path) -> str:
    """A file as people know it: its path below the data's folder, or the whole one."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def few_of(names: Sequence[object]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more
