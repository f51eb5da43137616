"""Values at a file's edge: a frozen dataclass is written as it is, and read back checked (pydantic's TypeAdapter)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import PipelineError, nearest
from pipeline.files import read_json, write_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def plain(value: object) -> Any:
    """A value as JSON has it."""
    return _adapter(type(value)).dump_python(value, mode="json")  # type: ignore[arg-type]


def from_plain(kind: type[T], content: object, where: object) -> T:
    """The value that JSON or TOML content stands for.

    Args:
        where: the content was found, for messages.

    Raises:
        PipelineError: a key is unknown or missing, or a value is not of its type or beyond its limits.
    """
    from pydantic import ValidationError

    try:
        value: T = _adapter(kind).validate_python(content)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PipelineError(f"{where}: {key or 'the content'}: {_sentence(first)}") from error
    if unknown := _unknown(content, plain(value), ()):
        *rooms, key, known = unknown
        raise PipelineError(f"{where}: no key '{'.'.join((*rooms, key))}'{nearest(key, known)}")
    return value


def read_value(kind: type[T], path: Path) -> T:
    """The value in a JSON file.

    Raises:
        PipelineError: the file is damaged, or of another version.
    """
    try:
        return from_plain(kind, read_json(path), path.name)
    except PipelineError as error:
        raise PipelineError(
            f"{path} is damaged, or of another version ({error}): restore it, or delete {path.parent} and start again"
        ) from error


def read_lines(kind: type[T], path: Path) -> list[T]:
    """The values in a file of one JSON value a line.

    Raises:
        PipelineError: as `read_value`.
    """
    return [from_line(kind, line, path) for line in path.read_text("utf-8").splitlines()]


def from_line(kind: type[T], line: str, where: object) -> T:
    """The value in one line of JSON.

    Raises:
        PipelineError: the line is cut off, or of another schema.
    """
    try:
        content = json.loads(line)
    except ValueError as error:
        raise PipelineError(f"{where} is damaged: a line of it is no JSON") from error
    return from_plain(kind, content, where)


def write_value(path: Path, value: object) -> None:
    """Write a value as JSON for people and programs."""
    write_json(path, plain(value))


def _sentence(error: Any) -> str:
    if error["type"] == "missing":
        return "it is missing"
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return "no such key"
    message = error["msg"]
    return f"{message[0].lower()}{message[1:]}, not {error['input']!r}"


def _unknown(given: object, known: object, path: tuple[str, ...]) -> tuple[Any, ...] | None:
    """The path of a key that the value doesn't have, and the keys that it has there; None where all are known."""
    if isinstance(given, Mapping) and isinstance(known, Mapping):
        for key, value in given.items():
            if key not in known:
                return (*path, str(key), list(known))
            if found := _unknown(value, known[key], (*path, str(key))):
                return found
    elif isinstance(given, Sequence) and isinstance(known, list) and not isinstance(given, str):
        for i, (value, other) in enumerate(zip(given, known, strict=False)):
            if found := _unknown(value, other, (*path, str(i))):
                return found
    return None
