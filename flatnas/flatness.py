"""R(x, sigma): how much a network's accuracy moves when its weights do; lower is flatter.

    theta'_m = theta + sigma * (theta . n_m),  n_m ~ N(0, I)
    R(x, sigma) = 1/M sum_m |acc(theta) - acc(theta'_m)|

Gambella, Pittorino, Roveri, "FlatNAS", IJCNN 2024, arXiv 2402.19102, section III. The noise is multiplicative and
falls on every parameter (convolutions, linear layers, batch-norm gamma and beta), never on running statistics.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from flatnas.arch import Arch
from flatnas.datasets import Images
from flatnas.supernet import Supernet, noise_like
from flatnas.train import predict

Perturb = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True, slots=True)
class Flatness:
    """R at one sigma, a fraction of images, with the half width of its 95 % interval over the draws."""

    sigma: float
    r: float
    ci95: float


def gaussian_perturbations(noise: Iterable[nn.Module], sigma: float) -> list[Perturb]:
    """One perturbation per noise module: a copy whose parameters are theta * (1 + sigma * n).

    Args:
        noise: modules shaped like the one to be perturbed, holding standard normal values.
        sigma: relative size of the noise, > 0.
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be greater than 0, not {sigma}")

    def perturb(module: nn.Module, values: nn.Module) -> nn.Module:
        moved = copy.deepcopy(module)
        with torch.no_grad():
            for parameter, n in zip(moved.parameters(), values.parameters(), strict=True):
                parameter.mul_(1 + sigma * n)
        return moved

    return [lambda module, values=values: perturb(module, values) for values in noise]  # type: ignore[misc]


def common_noise(supernet: Supernet, draws: int, seed: int) -> list[Supernet]:
    """`draws` supernet-shaped sets of noise, so that subnets that share a weight share its noise, too."""
    return [noise_like(supernet, seed * 1000 + draw) for draw in range(draws)]


def accuracy_change(
    module: nn.Module, perturbations: Iterable[Perturb], images: Images, resolution: int
) -> list[float]:
    """|acc(theta) - acc(theta')| for each perturbation, as fractions; the terms of R."""

    def accuracy(net: nn.Module) -> float:
        return float(np.mean(predict(net, images.pixels_nhwc, resolution).argmax(1) == images.labels))

    reference = accuracy(module)
    return [abs(reference - accuracy(perturb(module))) for perturb in perturbations]


def flatness(module: nn.Module, arch: Arch, noise: Iterable[Supernet], sigma: float, images: Images) -> Flatness:
    """R(x, sigma) of the subnet `module` of `arch` under common noise, on these images."""
    perturbations = gaussian_perturbations([n.extract(arch) for n in noise], sigma)
    changes = accuracy_change(module, perturbations, images, arch.resolution)
    spread = float(np.std(changes, ddof=1)) if len(changes) > 1 else 0.0
    return Flatness(sigma, float(np.mean(changes)), 1.96 * spread / len(changes) ** 0.5)
