"""The measurement behind the rule that gives a size of picture its table of severities."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from research.severity_sizes import LARGEST, measure, squares, strength


def test_strength_is_one_minus_the_correlation_with_the_clean_picture() -> None:
    ramp = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    assert strength(ramp, ramp // 2 * 2) == pytest.approx(0, abs=1e-3)
    assert strength(ramp, 191 - ramp) == pytest.approx(2)
    assert strength(np.concatenate([ramp, ramp]), np.concatenate([ramp, 191 - ramp])) == pytest.approx(1)


def test_squares_are_parts_of_photographs() -> None:
    found = squares()
    assert found.shape == (27, LARGEST, LARGEST, 3)
    assert found.std(axis=(1, 2, 3)).min() > 10


@pytest.mark.slow  # half a minute
def test_a_row_per_corruption_and_table() -> None:
    lines = CliRunner().invoke(measure, ["--sides", "32,96"], catch_exceptions=False).output.splitlines()
    assert len(lines) == 2 + 19 * 3
    assert lines[2].split()[:2] == ["gaussian_noise", "cifar10-c"]
    rows = {tuple(line.split()[:2]): [float(value) for value in line.split()[2:]] for line in lines[2:]}
    assert rows["gaussian_blur", "cifar10-c"][1] < rows["gaussian_blur", "tiny-imagenet-c"][1]
