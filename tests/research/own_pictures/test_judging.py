from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from research.own_pictures.judging import judge


def test_balanced_accuracy_is_the_mean_recall_with_a_binomial_interval() -> None:
    # class 0: 3 of 4 right, class 1: 1 of 2: mean 0.625; variances 0.1875 / 4 and 0.25 / 2
    found = judge(np.array([0, 0, 0, 1, 1, 0]), np.array([0, 0, 0, 0, 1, 1]))
    assert found.top1 == pytest.approx(4 / 6)
    assert found.recalls == (0.75, 0.5)
    assert found.images == (4, 2)
    assert found.balanced == 0.625
    assert found.half_width == pytest.approx(1.96 * (0.1875 / 4 + 0.25 / 2) ** 0.5 / 2)


def test_a_constant_answer_has_the_balanced_accuracy_of_chance() -> None:
    found = judge(np.zeros(100, np.int64), np.repeat([0, 1], [93, 7]))
    assert (found.top1, found.balanced, found.half_width) == (0.93, 0.5, 0.0)
