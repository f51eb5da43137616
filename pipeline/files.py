"""Files: written whole or not at all, known by their sha256, read with an error of one line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import PipelineError

_TOKEN_BYTES = 4
_PARTIAL = re.compile(rf"\..+\.[0-9a-f]{{{2 * _TOKEN_BYTES}}}")  # what `write_file` calls a file until it is whole


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, making its directory; through a link, and into a pipe or a device as it is."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with write_file(path) as file:
        file.write(content)


@contextmanager
def write_file(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file at the end of the context, unless an error ends it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}")
    try:
        with partial.open("xb") as file:  # its mode is what the user's umask leaves
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_partial(directory: Path, older_than: float = 0) -> None:
    """Remove what killed processes left of files that they were writing.

    Args:
        older_than: in seconds: where processes that live may write, too.
    """
    for path in directory.rglob(".*"):
        with suppress(OSError):
            lives = older_than > 0 and time.time() - path.lstat().st_mtime < older_than
            if _PARTIAL.fullmatch(path.name) and not lives:
                path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs: indented, non-ASCII kept, ending in a newline."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        PipelineError: it is damaged.
    """
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_once)
    except PipelineError as error:
        raise PipelineError(
            f"{path} is damaged: {error}; restore it, or delete {path.parent} and start again"
        ) from error
    except (ValueError, RecursionError) as error:  # RecursionError: brackets within brackets, thousands deep
        raise PipelineError(
            f"{path} is damaged: it is no JSON; restore it, or delete {path.parent} and start again"
        ) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, whose keys stand there once: of two values each reader would take the one it likes."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise PipelineError(f"the key '{twice}' stands there twice")
    return found


def read_object(path: Path, *keys: str) -> dict[str, Any]:
    """The object of a JSON file that has these keys.

    Raises:
        PipelineError: it is damaged.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not set(keys) <= set(value):
        raise PipelineError(f"{path} is damaged: restore it, or delete {path.parent} and start again")
    return value


@contextmanager
def writing_to(directory: Path) -> Iterator[None]:
    """What the system says of a directory that can't be written, in one line.

    Raises:
        PipelineError: an `OSError` inside.
    """
    try:
        yield
    except OSError as error:
        raise PipelineError(
            f"can't write to {directory}: {error.strerror}; name another directory with --out"
        ) from error


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Keep a directory to this process, making it; the lock goes with the process that holds it.

    What an earlier holder was writing when it was killed is removed.

    Raises:
        PipelineError: another process has it, or it can't be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(directory / ".lock", timeout=0)
    with writing_to(directory):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise PipelineError(
                f"{directory} is in use by another process; wait for it, or name another --out"
            ) from error
    try:
        remove_partial(directory)
        yield
    finally:
        lock.release()
