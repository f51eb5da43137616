"""How reading and downloading report how far they are."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""So many (bytes, pictures) so far, and how many in all where that is known."""


def silent(done: int, total: int | None) -> None:
    """No report."""
