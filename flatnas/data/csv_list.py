"""A list of pictures as a data set: a CSV file with the columns `path`, `label` and, if wanted, `group` and `part`.

The first line names the columns, in any order. Paths are relative to the file, which is UTF-8 (RFC 4180). `group` names
what must stay in one part, `part` is train, val or test. Faults are collected by line: a long list is mended in one go.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from flatnas.data.listing import PART_NAMES, Listing, Part, PictureFile, few_of, group_of
from flatnas.errors import DataError

REQUIRED, OPTIONAL = ("path", "label"), ("group", "part")


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    path: Path
    label: str
    group: str | None
    part: Part | None


def list_csv(file: Path, group_by: str | None = None) -> Listing:
    """The pictures that a CSV file names.

    Args:
        group_by: as of `Preparation`, by the path as the file writes it; counts instead of the column `group`.

    Raises:
        DataError: the file can't be read, or its first line is not of such a list.
    """
    lines = _lines(file)
    header = [name.strip().lower() for name in next(lines, (1, []))[1]]
    _check_header(file, header)
    rows, faults = [], []
    first_line: dict[Path, int] = {}
    for line, values in lines:
        try:
            row = _row(file, line, dict(zip(header, values, strict=True)), group_by)
            if (earlier := first_line.setdefault(row.path, line)) != line:
                raise ValueError(f"{row.path} is listed in line {earlier} already")
            rows.append(row)
        except ValueError as error:  # zip's, too, where a line has another number of columns
            reason = str(error) if len(values) == len(header) else f"{len(values)} columns, not {len(header)}"
            faults.append(f"line {line}: {reason}")
    names = sorted({row.label for row in rows})
    label_of = {name: label for label, name in enumerate(names)}
    files = tuple(PictureFile(file.parent / row.path, label_of[row.label], row.part, row.group) for row in rows)
    told = [f"{file}: {few_of(faults)}"] if faults else []
    return Listing(file.parent, tuple(names), files, faults=(*told, *_faults_of_the_whole(file, names, rows)))


def _faults_of_the_whole(file: Path, names: list[str], rows: list[_Row]) -> list[str]:
    faults = []
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        faults.append(f"{file}: a data set needs at least two labels; found {found}")
    given = {row.part for row in rows if row.part}
    if given and (lacking := [part for part in ("train", "test") if part not in given]):
        faults.append(f"{file}: no picture has the part {' or '.join(lacking)}; name some, or leave out the column")
    return faults


def _row(file: Path, line: int, values: dict[str, str], group_by: str | None) -> _Row:
    """A line's values, checked.

    Raises:
        ValueError: what is wrong with them.
    """
    values = {name: value.strip() for name, value in values.items()}
    if empty := [name for name, value in values.items() if not value]:
        raise ValueError(f"no {' and no '.join(empty)}")
    path, part = Path(values["path"]), PART_NAMES.get(values.get("part", ""))
    if part is None and "part" in values:
        raise ValueError(f"the part must be train, val or test, not '{values['part']}'")
    if "\0" in values["path"] or not (file.parent / path).exists():
        raise ValueError(f"there is no file {path}")
    group = values.get("group")
    if group_by is not None and (group := group_of(path, group_by)) is None:
        raise ValueError(f"groups by '{group_by}' match nothing in {path}")
    return _Row(line, path, values["label"], group, part)


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and values of each line that is not empty.

    Raises:
        DataError: the file is no text in UTF-8, or no CSV.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{file} can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8 (byte {error.start}); save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield reader.line_num, values
    except csv.Error as error:
        raise DataError(f"{file}: line {reader.line_num} is no CSV ({error})") from error


def _check_header(file: Path, header: list[str]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    wanted = "the first line must name the columns path,label and may name group and part"
    for name in header:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            separated = re.split("[;\t]", name)
            if len(header) == 1 and set(REQUIRED) <= set(separated):
                hint = "; columns are separated by commas"
            raise DataError(f"{file}: {wanted}; there is no column '{name}'{hint}")
    if missing := [name for name in REQUIRED if name not in header]:
        raise DataError(f"{file}: {wanted}; it lacks {' and '.join(missing)}")
    if len(set(header)) < len(header):
        raise DataError(f"{file}: {wanted}, each once")
