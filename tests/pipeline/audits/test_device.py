"""What computes as the device does, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.run.runners import load_runner
from export.runtime import build
from pipeline.audits.device import compared, device_kernels
from pipeline.audits.predictions import Predictions


def test_the_firmware_computes_where_there_is_a_compiler_and_tflite_micro_elsewhere(
    digit_models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build.host_compiler() is not None
    assert device_kernels(digit_models.int8_tflite) == "firmware"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    assert device_kernels(digit_models.int8_tflite) in ("tflm", "litert-reference")


def test_a_compiler_that_compiles_nothing_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cc").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    assert build.host_compiler() is None


def test_the_firmware_and_tflite_micro_say_the_same_to_the_last_bit(digit_models: Any) -> None:
    pytest.importorskip("tflite_micro")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    scores = [load_runner(digit_models.int8_tflite, kind).classify(pixels) for kind in ("firmware", "tflm")]
    assert np.array_equal(*scores)


def test_both_are_compared_on_every_corrupted_picture_and_not_on_clean_ones() -> None:
    labels = np.array([0, 1, 2, 0])
    # rows: clean, then two variants of the four pictures
    device = Predictions(np.array([[1, 1, 1, 1], [0, 1, 2, 0], [0, 1, 0, 1]]), np.ones((3, 4), np.float32))
    fast = Predictions(np.array([[0, 0, 0, 0], [0, 1, 2, 1], [0, 1, 2, 1]]), np.ones((3, 4), np.float32))
    found = compared("firmware", device, fast, labels)
    assert (found.runner, found.images) == ("firmware", 8)
    assert found.disagreement == 2 / 8
    assert (found.mean_error_device, found.mean_error_fast) == (2 / 8, 2 / 8)
