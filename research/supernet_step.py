"""Which supernet step makes better subnets at equal CPU time.

    PIPELINE_DATA=DIR python -m research.supernet_step STEP CHECKPOINT --epochs N [--labels labels.safetensors]

`sandwich`, of version 0.1, trains the largest subnet on the targets, and the smallest and a random one on the
largest one's output, at one resolution. `two-subnets` trains two random subnets at resolutions of their own, and the
largest and the smallest every fourth step. Both are plain SGD with averaged weights. The figure is the mean error of
28 random subnets of 1.5 to 6 M MACs on all validation images, with the CPU seconds of this process. A training that
was stopped goes on from CHECKPOINT; its CPU seconds are then those of this call alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from flatnas.data.registry import load_dataset
from flatnas.space.arch import Arch, SearchSpace
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from flatnas.training.soft_labels import load_labels, taught
from flatnas.training.supernet_training import (
    new_supernet,
    released_recipe,
    sandwich_loss,
    subnet_errors,
    two_subnets_loss,
)
from flatnas.training.train import train
from hardware_profiles.cost.ops import macs

SUBNETS, LEAST_MACS, MOST_MACS = 28, 1_500_000, 6_000_000
STEPS = {"sandwich": sandwich_loss, "two-subnets": two_subnets_loss}


def judged_subnets(space: SearchSpace) -> list[Arch]:
    """The 28 random subnets behind the figure, the same for every supernet of a space's geometry."""
    rng = np.random.default_rng(28)
    found: list[Arch] = []
    while len(found) < SUBNETS:
        arch = space.sample(rng) if len(found) % 2 else space.sample_by_size(rng)
        if LEAST_MACS <= sum(macs(op) for op in lower(space, arch)) <= MOST_MACS and arch not in found:
            found.append(arch)
    return found


@click.command()
@click.argument("step", type=click.Choice(list(STEPS)))
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--epochs", type=click.IntRange(min=1), required=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--labels", type=click.Path(exists=True, path_type=Path), help="A teacher's soft labels.")
def main(step: str, checkpoint: Path, epochs: int, seed: int, labels: Path | None) -> None:
    """Train by one step, and print the inherited errors as JSON."""
    data = load_dataset("cifar10", Path(os.environ["PIPELINE_DATA"]))
    images = taught(data, load_labels(labels)) if labels else data.train
    supernet = new_supernet(mcu_space(len(data.class_names)), seed)
    recipe = replace(released_recipe(epochs, seed, data), rho=0.0)

    def progress(done: int, steps: int, value: float) -> None:
        if done % 100 == 0:
            click.echo(f"step {done} of {steps}, loss {value:.3f}, {time.process_time():.0f} CPU s", file=sys.stderr)

    started = time.process_time()
    train(supernet, images, STEPS[step](supernet, seed), recipe, checkpoint=checkpoint, progress=progress)
    seconds = time.process_time() - started
    archs = {str(arch): arch for arch in judged_subnets(supernet.space)}
    watched = {"smallest": supernet.space.smallest, "largest": supernet.space.largest}
    errors = subnet_errors(supernet, archs | watched, data, images=len(data.val))
    mean = float(np.mean([errors[name] for name in archs]))
    result = {"step": step, "epochs": epochs, "seed": seed, "labels": labels is not None, "cpu_seconds": round(seconds)}
    click.echo(json.dumps({**result, "mean_error": mean, "errors": errors}, indent=1))


if __name__ == "__main__":
    main()
