"""What the package ships belongs to the data that it names."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from flatnas.data.registry import load_dataset
from flatnas.training.soft_labels import load_labels, taught
from pipeline.shipped import shipped_labels

SHARED = os.environ.get("PIPELINE_SHARED")


@pytest.mark.skipif(SHARED is None, reason="PIPELINE_SHARED is not set")
def test_the_shipped_labels_are_of_cifar10s_training_images_and_know_them() -> None:
    data = load_dataset("cifar10", Path(SHARED or "") / "data")
    with shipped_labels(robust=False) as path:
        assert path is not None
        labels = load_labels(path)
    targets = taught(data, labels).targets
    assert targets is not None
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)
    assert np.mean(targets.argmax(1) == data.train.labels) > 0.999  # nine tenths of the teacher, one of the truth
    rows = labels.probabilities / labels.probabilities.sum(1, keepdims=True)
    assert 0.01 < np.mean(1 - rows.max(1)) < 0.3, "soft, or they would teach nothing beyond the true labels"
    assert labels.class_names == data.class_names


def test_the_card_of_the_shipped_labels_is_of_these_bytes() -> None:
    with shipped_labels(robust=False) as path:
        assert path is not None
        card = json.loads(path.with_name("cifar10.labels.json").read_text())
        assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert 0 < card["validation_error"] < 0.08
