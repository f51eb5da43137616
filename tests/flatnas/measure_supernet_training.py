"""Whether averaged weights and progressive schedules help a supernet, at equal steps.

    PIPELINE_DATA=DIR python tests/flatnas/measure_supernet_training.py SCHEDULE CHECKPOINT [EPOCHS]

Trains a supernet by the shipped one's recipe without SAM, in one of these schedules: `sandwich`, as released; `grow`,
whose first third of the steps knows only kernels, the second depths, too (the order of Once-for-All's progressive
shrinking, Cai et al. 2020, with the sandwich rule); `largest-first`, whose first third trains the largest subnet alone.
A training that was stopped goes on from CHECKPOINT. Prints the validation errors of the smallest, the largest and
random subnets, with the averaged weights and with the last ones.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from flatnas.data.registry import load_dataset
from flatnas.data.resize import Pixels
from flatnas.nets.supernet import Supernet
from flatnas.space.arch import Arch, SearchSpace
from flatnas.space.spaces import mcu_space
from flatnas.training.supernet_training import new_supernet, released_recipe, sandwich_loss, subnet_errors
from flatnas.training.train import Loss, to_input, train

SEED, RANDOM_SUBNETS = 1, 12


class Within:
    """A supernet whose trainer sees a part of its space."""

    def __init__(self, supernet: Supernet, space: SearchSpace) -> None:
        self.supernet, self.space = supernet, space

    def __call__(self, x: Tensor, arch: Arch) -> Tensor:
        logits: Tensor = self.supernet(x, arch)
        return logits


def growing(space: SearchSpace) -> tuple[SearchSpace, SearchSpace, SearchSpace]:
    """The space's kernels alone, its kernels and depths, and all of it; resolutions are elastic in each."""
    depths = tuple(
        replace(s, channels=s.channels[-1:], expands=s.expands[-1:], squeeze_excites=s.squeeze_excites[-1:])
        for s in space.stages
    )
    kernels = tuple(replace(s, depths=s.depths[-1:]) for s in depths)
    wide = replace(space, stems=space.stems[-1:], heads=space.heads[-1:])
    return replace(wide, stages=kernels), replace(wide, stages=depths), space


def grow(supernet: Supernet, steps: int) -> Loss:
    """The sandwich rule in a space that grows after each third of the steps."""
    losses = [sandwich_loss(Within(supernet, s), SEED) for s in growing(supernet.space)]  # type: ignore[arg-type]
    return lambda pixels, labels, step: losses[3 * step // steps](pixels, labels, step)


def largest_first(supernet: Supernet, steps: int) -> Loss:
    """The largest subnet alone for a third of the steps, then the sandwich rule."""
    sandwich, space = sandwich_loss(supernet, SEED), supernet.space

    def loss(pixels: Pixels, labels: Tensor, step: int) -> Tensor:
        if 3 * step >= steps:
            return sandwich(pixels, labels, step)
        side = int(np.random.default_rng([SEED, 2, step]).choice(space.resolutions))
        return functional.cross_entropy(supernet(to_input(pixels, side, labels.device), space.largest), labels)

    return loss


def as_trained(supernet: Supernet, steps: int) -> Loss:
    """The sandwich rule from the first step to the last."""
    return sandwich_loss(supernet, SEED)


SCHEDULES: dict[str, Callable[[Supernet, int], Loss]] = {
    "sandwich": as_trained,
    "grow": grow,
    "largest-first": largest_first,
}


@click.command()
@click.argument("schedule", type=click.Choice(list(SCHEDULES)))
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("epochs", type=int, default=6)
def measure(schedule: str, checkpoint: Path, epochs: int) -> None:
    """Train, and print errors: averaged weights, last weights."""
    data = load_dataset("cifar10", Path(os.environ["PIPELINE_DATA"]))
    supernet = new_supernet(mcu_space(len(data.class_names)), SEED)
    recipe = replace(released_recipe(epochs, SEED, data), rho=0.0)
    loss = SCHEDULES[schedule](supernet, epochs * (len(data.train) // recipe.batch_size))
    rng = np.random.default_rng(0)
    space = supernet.space
    watched = {"smallest": space.smallest, "largest": space.largest}
    watched |= {f"random {i}": space.sample_by_size(rng) for i in range(RANDOM_SUBNETS)}

    def show(weights: str) -> None:
        errors = subnet_errors(supernet, watched, data, images=len(data.val))
        drawn = np.array([error for name, error in errors.items() if name.startswith("random")])
        click.echo(
            f"{schedule}, {epochs} epochs, {weights} weights: largest {errors['largest']:.1%}, "
            f"smallest {errors['smallest']:.1%}, {len(drawn)} random ones {drawn.mean():.1%}: "
            + " ".join(f"{100 * error:.1f}" for error in drawn)
        )

    def progress(step: int, steps: int, value: float) -> None:
        if step % 100 == 0:
            click.echo(f"step {step} of {steps}, loss {value:.3f}", file=sys.stderr)

    train(supernet, data.train, loss, recipe, checkpoint=checkpoint, progress=progress)
    show("averaged")
    saved = load_file(checkpoint)
    supernet.load_state_dict({n.removeprefix("module."): t for n, t in saved.items() if n.startswith("module.")})
    show("last")


if __name__ == "__main__":
    measure()
