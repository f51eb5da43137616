"""The TOML form of a profile: where the files lie, `extends`, and each number with its source.

A number is written `key = { value = "64 KiB", source = "..." }`. It may add `date` (the file's own `date` otherwise)
and, where sources disagree, `range = ["least", "most"]`. A region of the SRAM may add `at` (its address) and `tcm`.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs

TEXTS = (
    "name",
    "description",
    "extends",
    "date",
    "kind",
    "runtime",
    "core",
    "features",
    "compiler_flags",
    "emulator",
)
TABLES = ("budget", "reserved", "regions")
_OWN = ("name", "description", "extends", "date")  # never taken over from the extended profile
_REGION_FACTS = ("at", "tcm")


class ProfileError(Exception):
    """A profile that does not exist or does not hold together; names the file, the key and the remedy."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as a file has it, before its unit is read.

    Attributes:
        date: when the source was read, ISO 8601.
        file: that has it, for messages.
        extra: a region's other facts.
    """

    value: Any
    source: str
    date: str
    file: str
    range: tuple[Any, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def user_targets() -> Path:
    """The folder of the user's own profiles."""
    return platformdirs.user_config_path("flatnas-deploy") / "targets"


def profile_names() -> tuple[str, ...]:
    """The targets known by name, sorted: those of this package and those in `user_targets()`.

    Raises:
        ProfileError: a file of the user has the name of a shipped target.
    """
    shipped, own = _names((files("hardware_profiles") / "targets").iterdir()), _names(_user_files())
    if twice := sorted(set(shipped) & set(own)):
        raise ProfileError(f"{user_targets() / twice[0]}.toml: there is a target '{twice[0]}' already; rename the file")
    return tuple(sorted(shipped + own))


def read_profile(name_or_path: str, numbers: Sequence[str]) -> tuple[dict[str, Any], str]:
    """(entries by dotted key, file name) of a target by name, or of a file that ends in `.toml`.

    Raises:
        ProfileError: there is none, or it is not of the form above.
    """
    return _read(name_or_path, Path(), numbers, ())


def read_text(text: str, file: str, numbers: Sequence[str]) -> dict[str, Any]:
    """The entries of TOML text by dotted key; `numbers` are the keys that need a source."""
    return _entries(text, file, Path(), numbers, (file.removesuffix(".toml"),))


def nearest(word: str, choices: Iterable[str]) -> str:
    """A key that begins like the word wins over one that is merely as long: `budget.sram` means `budget.sram_bytes`."""
    known = list(choices)
    close = [k for k in known if k.startswith(word)] or get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; choose one of {', '.join(known)}"


def _names(entries: Iterable[Any]) -> list[str]:
    return [entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml")]


def _user_files() -> Iterator[Path]:
    return user_targets().iterdir() if user_targets().is_dir() else iter(())


def _read(
    name: str, folder: Path, numbers: Sequence[str], chain: tuple[str, ...], extended_by: str = ""
) -> tuple[dict[str, Any], str]:
    """`chain` are the profiles that led here by `extends`; `folder` is where their relative paths begin."""
    before = f"{extended_by}: extends: " if extended_by else ""
    if name.endswith(".toml"):
        path = folder / name
        if not path.is_file():
            raise ProfileError(f"{before}there is no profile file {path}")
        text, identity, folder = path.read_text(), str(path.resolve()), path.parent
    elif name not in profile_names():
        raise ProfileError(f"{before}no hardware profile '{name}'{nearest(name, profile_names())}")
    else:
        own = user_targets() / f"{name}.toml"
        text = (own if own.is_file() else files("hardware_profiles") / "targets" / f"{name}.toml").read_text()
        identity, folder = name, user_targets()
    if identity in chain:
        raise ProfileError(f"{before}'{name}' extends itself: {' -> '.join((*chain, identity))}")
    file = Path(name if name.endswith(".toml") else f"{name}.toml").name
    return _entries(text, file, folder, numbers, (*chain, identity)), file


def _entries(text: str, file: str, folder: Path, numbers: Sequence[str], chain: tuple[str, ...]) -> dict[str, Any]:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{file}: {error}") from error
    _refuse_control_characters(raw, file)
    date = _date(raw.pop("date", None), f"{file}: 'date'")
    own = {key: _entry(key, entry, file, date, numbers) for key, entry in _flatten(raw, file)}
    if "extends" not in own:
        return own
    if not isinstance(own["extends"], str):
        raise ProfileError(f"{file}: extends: write the name of one target, or the path of a file")
    base, _ = _read(own["extends"], folder, numbers, chain, file)
    replaced = any(key.startswith("regions.") for key in own)
    taken = {k: e for k, e in base.items() if k not in _OWN and not (replaced and k.startswith("regions."))}
    return taken | own


def _refuse_control_characters(value: Any, file: str, key: str = "") -> None:
    """Texts reach terminals, pages and build files, which obey characters that nobody sees."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_control_characters(name, file, "a key")
            _refuse_control_characters(inner, file, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            _refuse_control_characters(inner, file, key)
    elif isinstance(value, str) and not value.isprintable():
        raise ProfileError(f"{file}: {key} is {value!a}, with a control character; write plain text")


def _flatten(raw: Mapping[str, Any], file: str) -> Iterator[tuple[str, Any]]:
    """The entries of the file by dotted key; the tables of numbers are opened, nothing deeper."""
    for key, entry in raw.items():
        if key not in TABLES:
            yield key, entry
        elif isinstance(entry, dict):
            yield from ((f"{key}.{name}", inner) for name, inner in entry.items())
        else:
            raise ProfileError(f"{file}: '{key}' is a table of numbers; write [{key}]")


def _entry(key: str, entry: Any, file: str, date: str, numbers: Sequence[str]) -> Any:
    region = key.startswith("regions.")
    if key not in numbers and not region:
        if key not in TEXTS:
            raise ProfileError(f"{file}: unknown key '{key}'{nearest(key, (*TEXTS, *numbers))}")
        return entry
    leaf = key.rpartition(".")[2]
    form = f"write {leaf} = {{ value = ..., source = ... }}"
    if not isinstance(entry, dict) or not str(entry.get("source", "")).strip():
        raise ProfileError(f"{file}: {key} has no source; {form}")
    optional = ("date", "range", *(_REGION_FACTS if region else ()))
    if "value" not in entry or set(entry) - {"value", "source", *optional}:
        raise ProfileError(f"{file}: {key} has {', '.join(sorted(entry))}; {form}, and {' or '.join(optional)} if any")
    if "date" not in entry and not date:
        raise ProfileError(f"{file}: {key} has no date; write date = 2026-01-31, for all numbers or beside the source")
    limits = entry.get("range")
    if limits is not None and not (isinstance(limits, list) and len(limits) == 2):
        raise ProfileError(f'{file}: {key}: write range = ["least", "most"]')
    return Number(
        entry["value"],
        str(entry["source"]),
        _date(entry.get("date"), f"{file}: {key}.date") or date,
        file,
        (limits[0], limits[1]) if limits else None,
        {fact: entry[fact] for fact in _REGION_FACTS if fact in entry},
    )


def _date(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, datetime.date):
        raise ProfileError(f"{what} is {value!r}; write a date such as 2026-01-31, without quotes")
    return value.isoformat()
