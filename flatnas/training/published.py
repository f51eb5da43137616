"""How FlatNAS trains, as it was published (arXiv 2402.19102 and its code): its candidates, and the chosen one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from flatnas.training.train import Recipe

LABEL_SMOOTHING = 0.1


def published_recipe(data: Dataset, seed: int, epochs: int, learning_rate: float = 0.1) -> Recipe:
    """ASAM, 6 epochs as published; our Nesterov momentum, warm-up and cosine over steps, and decay of matrices only."""
    from flatnas.training.train import Recipe

    return Recipe(
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        weight_decay=5e-4,
        rho=2.0,
        adaptive=True,
        mirror=data.mirrors,
        shift=data.shift,
    )
