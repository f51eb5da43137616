"""A training that fits the pictures: steps, batch, rate and decay from how many there are.

    epochs  passes / n, at least 1 and at most 100            n: training pictures; passes: what a preset pays for
    batch   the power of two nearest n / 64, from 32 to 128
    rate    that of SGD times sqrt(n) / 1000, but 0.015 to 0.05 times it; of the new classifier 10 / 3 times that

So a preset's count is of pictures seen: few of them get more epochs and smaller batches, not fewer steps. They also get
a lower rate, because they can't replace what the inherited weights know. The optimizer is AdamW with decay 0.02
(Loshchilov and Hutter 2019, arXiv 1711.05101). docs/results/own-pictures.md has the figures behind the constants.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from flatnas.training.train import Recipe

LARGE = 40_000  # training pictures from which on presets count epochs of SGD, as they were measured on CIFAR-10
_MOST_EPOCHS = 100  # more only learn the pictures by heart
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 128
_LEAST_SHARE, _MOST_SHARE = 0.015, 0.05  # AdamW's rate in SGD's: presets and users state SGD's
_HEAD_FACTOR, _WEIGHT_DECAY = 10 / 3, 0.02
_IMBALANCED = 1.5  # pictures of the commonest class to those of the rarest


def fitted_recipe(
    data: Dataset,
    passes: int,
    seed: int,
    *,
    rate: float = 0.1,
    rho: float = 0.0,
    sam_after: float = 0.0,
    adaptive: bool = False,
    augmix: bool = False,
) -> Recipe:
    """How to train on these pictures from weights that know others; see above.

    Args:
        passes: training pictures seen, those of all epochs together; 0 trains nothing.
        rate: of SGD at the top of its schedule.
        rho: radius of SAM; 0 is plain AdamW.
        sam_after: fraction of the steps after which SAM begins.
        adaptive: ASAM instead of SAM.
    """
    from flatnas.training.train import Recipe

    n = len(data.train)
    return Recipe(
        epochs=min(max(round(passes / n), 1), _MOST_EPOCHS) if passes else 0,
        learning_rate=rate * min(max(math.sqrt(n) / 1000, _LEAST_SHARE), _MOST_SHARE),
        seed=seed,
        batch_size=fitted_batch(n),
        weight_decay=_WEIGHT_DECAY,
        optimizer="adamw",
        head_factor=_HEAD_FACTOR,
        rho=rho,
        sam_after=sam_after,
        adaptive=adaptive,
        mirror=data.mirrors,
        shift=data.shift,
        augmix=augmix,
    )


def fitted_batch(images: int) -> int:
    """The batch size for so many training pictures."""
    nearest = 1 << round(math.log2(max(images / 64, 1)))
    return min(max(nearest, _SMALLEST_BATCH), _LARGEST_BATCH)


def class_weights(labels: npt.NDArray[np.int64], num_classes: int) -> npt.NDArray[np.float32] | None:
    """Weights of the classes' losses, shape (num_classes,): n / (num_classes x pictures of the class).

    None where the commonest class has at most half as many pictures again as the rarest.
    """
    counts = np.maximum(np.bincount(labels, minlength=num_classes), 1)
    if counts.max() <= _IMBALANCED * counts.min():
        return None
    return (len(labels) / (num_classes * counts)).astype(np.float32)
