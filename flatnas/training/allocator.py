"""Keeping freed memory in the process: glibc hands large blocks back at once, and every layer pays for fresh pages."""

from __future__ import annotations

import ctypes
import functools
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_LARGEST_BLOCK, _KEPT = 1 << 30, (1 << 31) - 1  # bytes


@functools.cache
def keep_freed_memory() -> bool:
    """Let malloc reuse blocks of up to 1 GiB instead of mapping new ones; false where there is no `mallopt`."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT))
