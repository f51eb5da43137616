"""How the search measures a subnet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from flatnas.data.dataset import Images
from flatnas.errors import DataError
from flatnas.search.measured import Measured, gaussian_name
from flatnas.space.arch import Arch

if TYPE_CHECKING:
    from torch import nn

    from flatnas.data.dataset import Dataset
    from flatnas.data.resize import Pixels
    from flatnas.nets.supernet import Supernet
    from flatnas.search.flatness import Perturb

_ROUNDING_IMAGES = 250  # behind the activation ranges of a rounding


@dataclass(frozen=True, slots=True)
class Effort:
    """How many images stand behind a measurement.

    Attributes:
        error_images: validation images behind the clean error.
        r_images: validation images behind R.
        draws: of the weight noise (M of the paper).
        recalibration_images: training images behind the batch-norm statistics.
        corrupted_images: validation images behind the error under each of the corruptions that may select; 0 measures
            none.
    """

    error_images: int
    r_images: int
    draws: int
    recalibration_images: int
    corrupted_images: int = 0


class InheritedEvaluator:
    """Measures subnets with the supernet's weights, their batch norms recalibrated; never trains.

    Equal arguments measure equal numbers: the images are seeded subsets, the noise is drawn on the supernet. A value
    of this class can be sent to another process.

    Args:
        sigmas: of the weight noise.
        seed: of the noise.
        fold: folds the batch norms of a module in place, which halves the time of a measurement.
        roundings: further perturbations by name, each made from calibration pixels (n, R, R, 3) of the subnet's
            resolution R.
        recalibrated: whether R is measured with batch norms recalibrated after the noise, too.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Dataset,
        effort: Effort,
        *,
        sigmas: tuple[float, ...],
        seed: int,
        fold: Callable[[nn.Module], nn.Module],
        roundings: Mapping[str, Callable[[Pixels], Perturb]] | None = None,
        recalibrated: bool = False,
    ) -> None:
        from flatnas.search.flatness import common_noise

        if not len(data.val):
            raise DataError(f"'{data.name}' has no validation images to judge subnets by; add training images")
        self._supernet, self._sigmas, self._fold, self._roundings = supernet, sigmas, fold, roundings or {}
        self._recalibrated = recalibrated
        self._noise = common_noise(supernet, effort.draws, seed)
        self._calibration = data.train.subset(effort.recalibration_images)
        self._corrupted = _corrupted(data.val, effort.corrupted_images, seed)
        self._judged, self._shaken = data.val.subset(effort.error_images), data.val.subset(effort.r_images)

    def __call__(self, arch: Arch) -> Measured:
        """Measure one subnet."""
        from flatnas.data.resize import resize
        from flatnas.search.flatness import flatness, gaussian_perturbations, recalibrated
        from flatnas.search.replica import replica
        from flatnas.training.train import classification_error, predict, recalibrate

        net, side = self._supernet.extract(arch), arch.resolution
        recalibrate(net, self._calibration.pixels_nhwc, side)
        noise = [n.extract(arch) for n in self._noise]
        perturbations = {gaussian_name(sigma): gaussian_perturbations(noise, sigma) for sigma in self._sigmas}
        if self._recalibrated:
            perturbations |= {
                gaussian_name(sigma, recalibrated=True): [
                    recalibrated(shake, self._calibration.pixels_nhwc, side)
                    for shake in perturbations[gaussian_name(sigma)]
                ]
                for sigma in self._sigmas
            }
        seen = resize(self._calibration.pixels_nhwc[:_ROUNDING_IMAGES], side)
        perturbations |= {name: [rounding(seen)] for name, rounding in self._roundings.items()}
        logits = predict(self._fold(replica(net)), self._judged.pixels_nhwc, side)
        flat = flatness(net, perturbations, self._shaken, side, optimize=self._fold)
        corrupted = None
        if len(self._corrupted):
            answers = predict(self._fold(replica(net)), self._corrupted.pixels_nhwc, side)
            corrupted = classification_error(answers, self._corrupted.labels)
        return Measured(arch, classification_error(logits, self._judged.labels), flat, corrupted)


def _corrupted(images: Images, count: int, seed: int) -> Images:
    """So many of these images under each corruption and severity that may select a network, one after the other."""
    from flatnas.corruptions import SELECTING_CORRUPTIONS, SELECTING_SEVERITIES, corrupt

    chosen = images.subset(count) if count else images.take(slice(0))
    indices, variants = np.arange(len(chosen)), list(product(SELECTING_CORRUPTIONS, SELECTING_SEVERITIES))
    parts = [corrupt(chosen.pixels_nhwc, name, severity, indices, seed) for name, severity in variants if count]
    pixels = np.concatenate(parts) if parts else chosen.pixels_nhwc
    return Images(pixels, np.tile(chosen.labels, len(parts) or 1))
