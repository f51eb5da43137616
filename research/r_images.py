"""How many validation images R needs, and how many draws: what a preset's `r_images` and `r_draws` cost in error.

    PIPELINE_DATA=DIR python -m research.r_images [SUBNETS]

Random subnets of the shipped supernet inside the Cortex-M7's budgets, sigma 0.05. R on n images and m draws is held
against R on all 5,000 images and 20 draws, over random choices of both.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from export.write.fold import fold_in_place
from flatnas.data.dataset import Dataset
from flatnas.data.registry import load_dataset
from flatnas.nets.supernet_file import load_supernet
from flatnas.search.candidates import Candidates
from flatnas.search.flatness import common_noise, gaussian_perturbations
from flatnas.search.replica import replica
from flatnas.search.surrogate import kendall_tau
from flatnas.space.lowering import lower
from flatnas.training.train import predict, recalibrate
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import load_profile
from pipeline.shipped import shipped_supernet

DRAWS, SIGMA, CHOICES = 20, 0.05, 40
IMAGES, FEWER_DRAWS = (125, 250, 500, 1000, 2000), (5, 10, 20)


def changes_of_correctness(data: Dataset, subnets: int) -> list[npt.NDArray[np.float64]]:
    """By subnet, (draws, images): 1 where the noise makes an image right, -1 where it makes it wrong."""
    with shipped_supernet() as path:
        supernet = load_supernet(path)
    space, profile = supernet.space, load_profile("cortex-m7")
    candidates = Candidates(
        space,
        lambda arch: footprint(lower(space, arch), profile),
        lambda cost: tuple(excess(cost, profile.budget).values()),
        seed=0,
    )
    noise, calibration, found = common_noise(supernet, DRAWS, 0), data.train.subset(1000).pixels_nhwc, []
    with click.progressbar(candidates.random(subnets, ())) as archs:
        for arch in archs:
            net, side = supernet.extract(arch), arch.resolution
            recalibrate(net, calibration, side)
            moved = [move(net) for move in gaussian_perturbations([n.extract(arch) for n in noise], SIGMA)]
            answers = [predict(fold_in_place(m), data.val.pixels_nhwc, side).argmax(1) for m in (replica(net), *moved)]
            right = np.stack(answers) == data.val.labels
            found.append(right[1:].astype(np.float64) - right[0])
    return found


@click.command()
@click.argument("subnets", type=int, default=24)
def measure(subnets: int) -> None:
    """Print a table: mean absolute error of R in points, Kendall's tau over subnets with R on everything."""
    changes = changes_of_correctness(load_dataset("cifar10", Path(os.environ["PIPELINE_DATA"])), subnets)
    whole = np.array([np.abs(c.mean(1)).mean() for c in changes])
    click.echo(f"R on all images and draws: {100 * whole.min():.1f} to {100 * whole.max():.1f} points")
    rng = np.random.default_rng(0)
    for images in IMAGES:
        for draws in FEWER_DRAWS:
            errors, taus = [], []
            for _ in range(CHOICES):
                columns, rows = rng.permutation(changes[0].shape[1])[:images], rng.permutation(DRAWS)[:draws]
                part = np.array([np.abs(c[np.ix_(rows, columns)].mean(1)).mean() for c in changes])
                errors.append(np.abs(part - whole).mean())
                taus.append(kendall_tau(part, whole))
            click.echo(
                f"{images:5} images, {draws:2} draws: {100 * np.mean(errors):.2f} points, tau {np.mean(taus):.2f}"
            )


if __name__ == "__main__":
    measure()
