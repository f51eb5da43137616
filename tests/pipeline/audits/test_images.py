"""Which audits see the same pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audits import images
from pipeline.audits.cache import Cache
from pipeline.audits.images import AuditImages


def digest(tmp_path: Path, side: int) -> str:
    return AuditImages(np.zeros((1, side, side, 3), np.uint8), 0, None, Cache(tmp_path, 0)).digest


def test_new_bytes_of_one_table_leave_the_audits_of_other_sizes_comparable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {side: digest(tmp_path, side) for side in (32, 64, 224)}
    assert len(set(before.values())) == 3
    monkeypatch.setitem(images._GENERATORS, "tiny-imagenet-c", 99)
    after = {side: digest(tmp_path, side) for side in (32, 64, 224)}
    assert [side for side in before if before[side] != after[side]] == [64]
