"""R(x, sigma): how much a network's accuracy moves when its weights do; lower is flatter.

    theta'_m = theta + sigma * (theta . n_m),  n_m ~ N(0, I)
    R(x, sigma) = 1/M sum_m |acc(theta) - acc(theta'_m)|

Gambella, Pittorino, Roveri, "FlatNAS", IJCNN 2024, arXiv 2402.19102, section III. The noise is multiplicative and
falls on every parameter (convolutions, linear layers, batch-norm gamma and beta), never on running statistics. The
same measure under a deterministic perturbation, such as rounding to int8 or int4, has M = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from flatnas.data.dataset import Images
from flatnas.data.resize import Pixels, resize
from flatnas.nets.supernet import Supernet, noise_like
from flatnas.search.measured import Flatness
from flatnas.search.replica import replica
from flatnas.training.train import predict, recalibrate

Perturb = Callable[[nn.Module], nn.Module]  # a module to a perturbed copy of it
Correct = npt.NDArray[np.bool_]

_RESAMPLES = 400


def gaussian_perturbations(noise: Iterable[nn.Module], sigma: float) -> list[Perturb]:
    """One perturbation per noise module: a copy whose parameters are theta * (1 + sigma * n).

    Args:
        noise: modules shaped like the one to be perturbed, holding standard normal values.
        sigma: relative size of the noise, in (0, 1].
    """
    if not 0 < sigma <= 1:
        raise ValueError(f"sigma must be in (0, 1], not {sigma}")

    def perturb(module: nn.Module, values: nn.Module) -> nn.Module:
        moved = replica(module)
        with torch.no_grad():
            for parameter, n in zip(moved.parameters(), values.parameters(), strict=True):
                parameter.mul_(1 + sigma * n)
        return moved

    return [lambda module, values=values: perturb(module, values) for values in noise]  # type: ignore[misc]


def recalibrated(perturb: Perturb, pixels_nhwc: Pixels, resolution: int) -> Perturb:
    """The perturbation, after which batch norm sees these images again and undoes part of the damage."""

    def apply(module: nn.Module) -> nn.Module:
        moved = perturb(module)
        recalibrate(moved, pixels_nhwc, resolution)
        return moved

    return apply


def common_noise(supernet: Supernet, draws: int, seed: int) -> list[Supernet]:
    """`draws` supernet-shaped sets of noise, so that subnets that share a weight share its noise, too."""
    return [noise_like(supernet, seed * 1000 + draw) for draw in range(draws)]


def flatness(
    module: nn.Module,
    perturbations: Mapping[str, Sequence[Perturb]],
    images: Images,
    resolution: int,
    *,
    optimize: Perturb = lambda module: module,
) -> tuple[Flatness, ...]:
    """R of one network under each kind of perturbation, on the same images.

    Args:
        module: in eval mode, its batch norms calibrated.
        perturbations: by name, the draws of each.
        images: on which accuracy is measured.
        resolution: side of the network's input in pixels.
        optimize: makes a module, which it may change, faster without changing its answers, such as batch-norm folding.
    """
    pixels = resize(images.pixels_nhwc, resolution)  # once for all draws

    def correct(net: nn.Module) -> Correct:
        answers: Correct = predict(optimize(net), pixels, resolution).argmax(1) == images.labels
        return answers

    reference = correct(replica(module))
    return tuple(
        _measured(name, reference, np.stack([correct(perturb(module)) for perturb in draws]))
        for name, draws in perturbations.items()
    )


def _measured(name: str, reference: Correct, perturbed: Correct) -> Flatness:
    """R and its interval from which images are right, shapes (n,) and (draws, n).

    The bootstrap resamples images and draws. The absolute value lifts a mean over few images, and lifts a resampled
    one as much again: so the interval is mirrored about the estimate (Davison and Hinkley 1997, section 5.2).
    """
    changes = perturbed.astype(np.float64) - reference
    r = float(np.abs(changes.mean(1)).mean())
    low, high = np.quantile(list(_resampled(changes)), (0.025, 0.975))
    return Flatness(name, r, max(2 * r - float(high), 0.0), max(2 * r - float(low), 0.0))


def _resampled(changes: npt.NDArray[np.float64]) -> Iterator[float]:
    rng = np.random.default_rng(0)
    draws, n = changes.shape
    for _ in range(_RESAMPLES):
        weights = rng.multinomial(n, np.full(n, 1 / n)) / n
        yield float(np.abs(changes[rng.integers(draws, size=draws)] @ weights).mean())
