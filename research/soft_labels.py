"""Which of a teacher's soft labels teaches subnets most: the error after a fine-tuning that follows each.

    PIPELINE_DATA=DIR python -m research.soft_labels [LABELS.safetensors…] --epochs 2 --seeds 2

Random subnets of 2 to 6 M MACs of the shipped supernet are fine-tuned on all training images by SGD at 0.1, once on
the true labels (smoothed as a run smooths them) and once on each file's, and judged on all validation images. Files
differ by the teacher's temperature: `pipeline teacher --temperature T` with one `--out` writes them out of one teacher.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import numpy as np

from flatnas.data.registry import load_dataset
from flatnas.nets.supernet_file import load_supernet
from flatnas.space.lowering import lower
from flatnas.training.soft_labels import load_labels, taught
from flatnas.training.train import Recipe, classification_error, cross_entropy, predict, recalibrate, train
from hardware_profiles.cost.ops import macs
from pipeline.shipped import shipped_supernet

LEAST_MACS, MOST_MACS = 2_000_000, 6_000_000
LEARNING_RATE, SMOOTHING, RECALIBRATION_IMAGES = 0.1, 0.05, 5000


@click.command()
@click.argument("labels", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--epochs", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), default=2, show_default=True, help="Subnets, one of each seed.")
def main(labels: tuple[Path, ...], epochs: int, seeds: int) -> None:
    """Fine-tune by each of the LABELS, and print the errors as JSON."""
    data = load_dataset("cifar10")
    images = {"true labels": data.train} | {path.stem: taught(data, load_labels(path)) for path in labels}
    errors: dict[str, list[float]] = {name: [] for name in images}
    for seed in range(seeds):
        for name, taught_images in images.items():
            with shipped_supernet() as path:
                supernet = load_supernet(path)
            rng = np.random.default_rng(seed)
            space, arch = supernet.space, supernet.space.sample(rng)
            while not LEAST_MACS <= sum(macs(op) for op in lower(space, arch)) <= MOST_MACS:
                arch = space.sample(rng)
            net = supernet.extract(arch)
            recipe = Recipe(epochs, LEARNING_RATE, seed=seed, mirror=data.mirrors, shift=data.shift)
            train(net, taught_images, cross_entropy(net, arch.resolution, SMOOTHING), recipe)
            recalibrate(net, data.train.subset(RECALIBRATION_IMAGES).pixels_nhwc, arch.resolution)
            error = classification_error(predict(net, data.val.pixels_nhwc, arch.resolution), data.val.labels)
            errors[name].append(error)
            click.echo(f"{arch}, {name}: {error:.4f}", err=True)
    json.dump({name: {"errors": e, "mean": float(np.mean(e))} for name, e in errors.items()}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
