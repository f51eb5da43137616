"""Sharpness-aware minimization: the gradient at the worst point nearby instead of the one here.

SAM   eps = rho * g / ||g||                   Foret et al. 2020, arXiv 2010.01412, eq. 2
ASAM  eps = rho * T^2 g / ||T g||, T = |w| + eta  Kwon et al. 2021, arXiv 2102.11600, eq. 8
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_ASAM_ETA = 0.01  # keeps weights near zero movable; the value of the ASAM paper, section 5


@contextmanager
def perturbed(parameters: Sequence[nn.Parameter], rho: float, *, adaptive: bool) -> Iterator[None]:
    """Move the parameters uphill along their gradients, to the edge of the rho-ball; put them back on leaving.

    The gradients are zeroed in between, so that the body can compute those of the perturbed point.
    """
    moved = [p for p in parameters if p.grad is not None]
    gradients = [p.grad for p in moved if p.grad is not None]
    with torch.no_grad():
        scales = [p.abs() + _ASAM_ETA for p in moved] if adaptive else []
        scaled = [t * g for t, g in zip(scales, gradients, strict=True)] if adaptive else gradients
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in scaled])) + 1e-12
        directions = [t * g for t, g in zip(scales, scaled, strict=True)] if adaptive else scaled
        steps = [d * (rho / norm) for d in directions]
        originals = [p.clone() for p in moved]
        torch._foreach_add_(tuple(moved), steps)
    for p in moved:
        p.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for p, original in zip(moved, originals, strict=True):
                p.copy_(original)


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Keep batch-norm running statistics from the perturbed weights' activations."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum


def sam_backward(module: nn.Module, loss: Callable[[], Tensor], rho: float, *, adaptive: bool = False) -> Tensor:
    """Leave in `.grad` the gradients of `loss` at the perturbed point; rho = 0 is plain backward.

    Args:
        module: the parameters to perturb.
        loss: computes the loss; called twice, and must compute the same thing both times.
        rho: radius of the neighbourhood, >= 0.
        adaptive: ASAM instead of SAM.

    Returns:
        The loss at the unperturbed point, detached; where that is finite and the other isn't, the other.
    """
    if rho < 0:
        raise ValueError(f"rho must be at least 0, not {rho}")
    value = loss()
    value.backward()  # type: ignore[no-untyped-call]
    if rho > 0:
        with perturbed(list(module.parameters()), rho, adaptive=adaptive), frozen_running_statistics(module):
            moved = loss()
            moved.backward()  # type: ignore[no-untyped-call]
        if torch.isfinite(value) and not torch.isfinite(moved):
            return moved.detach()
    return value.detach()
