"""Temporary folders that nobody leaves behind: all of a process lie in one, and the next process removes the dead's.

A folder is alive while its process holds the lock beside it, which the system releases however the process ends.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX, _LOCK = "pipeline-tmp-", ".lock"


@contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """Put every temporary file of this process and its children into a folder that goes with the context.

    Where none can be made, they lie where they always lay: a command that needs no temporary file works all the same.

    Yields:
        The folder around it, for what shall stay.
    """
    from filelock import FileLock

    around, variable = Path(tempfile.gettempdir()), os.environ.get("TMPDIR")
    remove_dead(around)
    folder = around / f"{_PREFIX}{secrets.token_hex(8)}"
    lock = FileLock(f"{folder}{_LOCK}")
    try:
        lock.acquire()  # before the folder is there, so that none is without its lock
        folder.mkdir(mode=0o700)
    except OSError:
        lock.release()
        yield around
        return
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield around
    finally:
        tempfile.tempdir = str(around)
        os.environ.pop("TMPDIR")
        if variable is not None:
            os.environ["TMPDIR"] = variable
        _remove(folder)
        lock.release()


def remove_dead(around: Path) -> None:
    """Remove the folders of this user's processes that ended without doing so."""
    from filelock import FileLock, Timeout

    for path in around.glob(f"{_PREFIX}*{_LOCK}"):
        with suppress(OSError, Timeout):
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
                continue
            with FileLock(path, timeout=0):
                _remove(Path(str(path).removesuffix(_LOCK)))


def _remove(folder: Path) -> None:
    """A folder, then its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(f"{folder}{_LOCK}").unlink(missing_ok=True)
