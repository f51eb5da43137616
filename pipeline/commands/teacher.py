"""`pipeline teacher`: train a large network, and keep its soft labels for the trainings of small ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from pipeline.commands import options


@click.command()
@options.dataset
@options.data_dir
@options.resolution
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory of the labels and checkpoint.")
@click.option("--epochs", type=click.IntRange(min=1), default=36, show_default=True)
@click.option(
    "--augment",
    type=click.Choice(["none", "augmix"]),
    default="none",
    show_default=True,
    help="What is done to training images beyond crops and flips; augmix makes a robust teacher.",
)
@click.option(
    "--temperature",
    type=options.Finite(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Divides the logits behind the labels; above 1 they are softer.",
)
@options.learning_rate
@options.seed
@options.device
def teacher(
    dataset: str,
    data_dir: Path | None,
    resolution: int | None,
    out: Path,
    epochs: int,
    augment: str,
    temperature: float,
    learning_rate: float | None,
    seed: int,
    device: options.Device,
) -> None:
    """Train a teacher on a data set's training images, and write its soft labels of them.

    Called again, a training goes on where it stopped; with another --temperature, a finished one only labels again.
    """
    options.require_training_packages()
    from flatnas.data.preparation import square
    from flatnas.data.registry import load_dataset
    from flatnas.training.teacher import teacher_recipe
    from pipeline.progress import Reporter
    from pipeline.teachers import teach_into

    data = load_dataset(dataset, data_dir, square(resolution))
    recipe = teacher_recipe(epochs, seed, data, augmix=augment == "augmix")
    command = f"pipeline teacher --dataset {Path(dataset).name} --epochs {epochs} --augment {augment} --seed {seed}"
    command += f" --temperature {temperature:g} --out DIR"
    if resolution:
        command += f" --resolution {resolution}"
    if learning_rate is not None:
        recipe = replace(recipe, learning_rate=learning_rate)
        command += f" --learning-rate {learning_rate:g}"
    reporter = Reporter()
    path = teach_into(out, data, recipe, temperature, options.torch_device(device), reporter, command)
    reporter.line(f"soft labels in {path}")
