"""A net, pictures and a recipe that the tests of training share: a step takes a millisecond."""

from __future__ import annotations

import numpy as np
import torch

from flatnas.data.dataset import Images
from flatnas.training.train import Recipe


def small_net() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = (
        torch.nn.Conv2d(3, 4, 3, bias=False),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU6(),
        torch.nn.AdaptiveAvgPool2d(1),
    )
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(4, 2))


def two_colours(n: int) -> Images:
    """Dark and bright noise: separable by the mean."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    pixels = rng.integers(0, 120, (n, 8, 8, 3)) + 120 * labels[:, None, None, None]
    return Images(pixels.astype(np.uint8), labels.astype(np.int64))


RECIPE = Recipe(epochs=3, learning_rate=0.1, seed=5, batch_size=16, rho=0.05, sam_after=0.5, shift=1)
