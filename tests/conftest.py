"""What tests of all packages share."""

from __future__ import annotations

from typing import Any

import pytest


class _Unseen:
    """Stands for test images where nothing but the audit's part of a run may look."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test images were asked for their '{name}'")


@pytest.fixture(scope="session")
def unseen() -> Any:
    """Images that fail the test when they are looked at."""
    return _Unseen()
