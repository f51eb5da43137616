"""FlatNAS as it was published, for comparison (arXiv 2402.19102 and its code; `--protocol paper`).

100 random subnets, then 30 iterations of 8; each is trained for 6 epochs with ASAM before it is measured, R has 20
draws on the whole validation split, and parameters are the only cost. Kept from ours: constraint domination, a
validation split instead of the test set, batch norms recalibrated before measuring, five surrogates chosen by 5-fold
tau (published: four, 10-fold) that are left aside while it is poor, mutation that resets a gene, a random subnet in
each iteration, and the choice of the others by hypervolume instead of gaps along the second objective.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flatnas.search.measured import Measured, gaussian_name
from flatnas.search.search import Objective
from flatnas.space.arch import Arch
from flatnas.training.published import LABEL_SMOOTHING, published_recipe

if TYPE_CHECKING:
    from torch import nn

    from flatnas.data.dataset import Dataset
    from flatnas.nets.supernet import Supernet

_SIGMA = 0.05


@dataclass(frozen=True, slots=True)
class PublishedEffort:
    """What is spent on a subnet.

    Attributes:
        epochs: of its training.
        r_images: validation images behind R, at most.
        r_draws: noise draws behind R.
    """

    epochs: int
    r_images: int
    r_draws: int


def objective(alpha: float) -> Objective:
    """F_AR at the published sigma, against parameters."""
    return Objective(alpha, (_SIGMA,), "params")


class TrainedEvaluator:
    """Measures a subnet after training it from the supernet's weights; a value can be sent to another process.

    Args:
        seed: of the training and of the noise.
        fold: folds the batch norms of a module in place, which halves the time of a measurement.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Dataset,
        *,
        effort: PublishedEffort,
        seed: int,
        fold: Callable[[nn.Module], nn.Module],
    ) -> None:
        from flatnas.search.flatness import common_noise

        self._supernet, self._data, self._effort, self._seed, self._fold = supernet, data, effort, seed, fold
        self._noise = common_noise(supernet, effort.r_draws, seed)

    def __call__(self, arch: Arch) -> Measured:
        """Train and measure one subnet."""
        from flatnas.search.flatness import flatness, gaussian_perturbations
        from flatnas.search.replica import replica
        from flatnas.training.train import classification_error, cross_entropy, predict, recalibrate, train

        net, data, side = self._supernet.extract(arch), self._data, arch.resolution
        train(
            net,
            data.train,
            cross_entropy(net, side, LABEL_SMOOTHING),
            published_recipe(data, self._seed, self._effort.epochs),
        )
        recalibrate(net, data.train.subset(2000).pixels_nhwc, side)
        noise = gaussian_perturbations([n.extract(arch) for n in self._noise], _SIGMA)
        logits = predict(self._fold(replica(net)), data.val.pixels_nhwc, side)
        flat = flatness(
            net, {gaussian_name(_SIGMA): noise}, data.val.subset(self._effort.r_images), side, optimize=self._fold
        )
        return Measured(arch, classification_error(logits, data.val.labels), flat)
