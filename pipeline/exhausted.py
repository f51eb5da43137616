"""What a machine ran out of, disk or memory, as the system and the libraries tell it: no fault of any code."""

from __future__ import annotations

import errno
import re

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_OUT_OF_MEMORY = re.compile(
    "failed to map segment|[Cc]annot allocate memory|can't allocate memory|[Uu]nable to allocate|bad_alloc|"
    "can't start new thread|out of memory"
)


def exhausted(error: Exception) -> str | None:
    """A line about what was not enough; None where an error is about something else."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"can't write{f' {error.filename}' if error.filename else ''}: {error.strerror}; mend that"
    if f"os error {errno.ENOSPC}" in str(error):  # as safetensors says it
        return "can't write: No space left on device; mend that"
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
        return "there is not enough memory: free some, or allow more ('ulimit -v' tells what is allowed)"
    return None
