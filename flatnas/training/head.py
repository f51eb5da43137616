"""A new head for a supernet whose features stay as they are: so a search can measure on other pictures in seconds.

Each step trains the classifier alone, on the labels, behind the largest, the smallest and a random subnet at one of
the space's resolutions. The features are computed by each batch's own statistics, so nothing else needs to adapt; the
subnet that is chosen is trained as a whole afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from flatnas.data.dataset import Dataset
from flatnas.data.resize import Pixels
from flatnas.nets.supernet import Supernet
from flatnas.training.fitting import class_weights, fitted_batch
from flatnas.training.train import Loss, Progress, Recipe, to_input, train

_RATE = 5e-3
_WEIGHT_DECAY = 0.02


def head_recipe(steps: int, seed: int, data: Dataset) -> Recipe:
    """AdamW for about so many steps, whole epochs; augmented as the data allow."""
    batch = fitted_batch(len(data.train))
    per_epoch = max(len(data.train) // batch, 1)
    return Recipe(
        epochs=max(round(steps / per_epoch), 1),
        learning_rate=_RATE,
        seed=seed,
        batch_size=batch,
        weight_decay=_WEIGHT_DECAY,
        optimizer="adamw",
        mirror=data.mirrors,
        shift=data.shift,
    )


def train_head(
    supernet: Supernet,
    data: Dataset,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train the classifier in place; see `flatnas.training.train.train` for resuming, callbacks and errors.

    Classes that are rarer than others weigh more.
    """
    loss = head_loss(supernet, recipe.seed, class_weights(data.train.labels, len(data.class_names)))
    for name, parameter in supernet.named_parameters():
        parameter.requires_grad_(name.startswith("classifier."))
    try:
        train(
            supernet,
            data.train,
            loss,
            recipe,
            checkpoint=checkpoint,
            progress=progress,
            after_epoch=after_epoch,
        )
    finally:
        supernet.requires_grad_(True)


def head_loss(supernet: Supernet, seed: int, weights: npt.NDArray[np.float32] | None = None) -> Loss:
    """Cross-entropy of the largest, the smallest and a random subnet; each learns from the labels or targets.

    Args:
        weights: of the classes, shape (num_classes,).
    """
    space = supernet.space
    of_classes = None if weights is None else torch.from_numpy(weights)

    def loss(pixels: Pixels, labels: Tensor, step: int) -> Tensor:
        rng = np.random.default_rng([seed, 2, step])
        x = to_input(pixels, int(rng.choice(space.resolutions)), labels.device)
        archs = (space.largest, space.smallest, space.sample_by_size(rng))
        return torch.stack([functional.cross_entropy(supernet(x, arch), labels, of_classes) for arch in archs]).sum()

    return loss
