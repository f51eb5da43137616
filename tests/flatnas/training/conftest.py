from __future__ import annotations

import pytest


@pytest.fixture
def kept_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after each step of a training."""
    monkeypatch.setattr("flatnas.training.train.CHECKPOINT_SECONDS", 0.0)
