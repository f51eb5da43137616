"""`pipeline supernet`: train a supernet from nothing, or adapt one to other classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.commands import options

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from flatnas.nets.supernet import Supernet
    from flatnas.training.soft_labels import SoftLabels
    from flatnas.training.train import Recipe

_out = click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Directory of the supernet and its checkpoint."
)


_teacher = click.option(
    "--teacher",
    default="auto",
    show_default=True,
    metavar="auto|none|FILE",
    help="Soft labels to learn from: shipped ones where there are some of these data, none, or a file that 'pipeline "
    "teacher' made.",
)


@click.group()
def supernet() -> None:
    """Train or adapt a supernet; called again, a training goes on where it stopped."""


@supernet.command()
@options.dataset
@options.data_dir
@options.resolution
@_out
@click.option("--epochs", type=click.IntRange(min=1), default=120, show_default=True)
@click.option(
    "--activation",
    type=click.Choice(["relu6", "hard_swish"]),
    default="relu6",
    show_default=True,
    help="Hard-swish is an operator of its own on a device.",
)
@_teacher
@options.learning_rate
@options.seed
@options.device
def train(
    dataset: str,
    data_dir: Path | None,
    resolution: int | None,
    out: Path,
    epochs: int,
    activation: Literal["relu6", "hard_swish"],
    teacher: str,
    learning_rate: float | None,
    seed: int,
    device: options.Device,
) -> None:
    """Train a supernet of the MCU space, from nothing: random subnets, each on a teacher's soft labels.

    The rate is held and falls over the last sixth of the epochs: called again with more epochs and the same --out, a
    finished training goes on from where its rate began to fall.
    """
    options.require_training_packages()
    from flatnas.data.preparation import square
    from flatnas.data.registry import load_dataset
    from flatnas.space.spaces import mcu_space
    from flatnas.training.supernet_training import new_supernet, released_recipe

    data = load_dataset(dataset, data_dir, square(resolution))
    space = mcu_space(len(data.class_names), data.resolution, activation)
    command = f"pipeline supernet train --dataset {Path(dataset).name} --epochs {epochs} --seed {seed} --out DIR"
    if resolution:
        command += f" --resolution {resolution}"
    if activation != "relu6":
        command += f" --activation {activation}"
    if teacher != "auto":
        command += f" --teacher {Path(teacher).name}"
    labels = _labels(teacher, data)
    recipe = released_recipe(epochs, seed, data)
    _train(out, new_supernet(space, seed), data, labels, recipe, learning_rate, device, command)


@supernet.command()
@options.dataset
@options.data_dir
@options.resolution
@_out
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path),
    help="A supernet.safetensors, or a MobileNetV3 supernet of Once-for-All's authors; the shipped one by default.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=20, show_default=True)
@options.learning_rate
@options.seed
@options.device
def adapt(
    dataset: str,
    data_dir: Path | None,
    resolution: int | None,
    out: Path,
    start: Path | None,
    epochs: int,
    learning_rate: float | None,
    seed: int,
    device: options.Device,
) -> None:
    """Give a supernet the classes and the resolution of another data set: a new head and a few epochs."""
    options.require_training_packages()
    from flatnas.data.preparation import square
    from flatnas.data.registry import load_dataset
    from flatnas.nets.supernet_file import with_new_head
    from flatnas.space.spaces import resolutions_of
    from flatnas.training.supernet_training import adapting_recipe
    from pipeline.shipped import shipped_supernet

    with shipped_supernet() as shipped:
        started = _load(start or shipped)
    data = load_dataset(dataset, data_dir, square(resolution), resolutions_of(started.space.name))
    adapted = with_new_head(started, len(data.class_names), data.resolution)
    command = f"pipeline supernet adapt --dataset {Path(dataset).name} --epochs {epochs} --seed {seed} --out DIR"
    if start:
        command += f" --from {start.name}"
    if resolution:
        command += f" --resolution {resolution}"
    _train(out, adapted, data, None, adapting_recipe(epochs, seed, data), learning_rate, device, command)


def _labels(teacher: str, data: Dataset) -> SoftLabels | None:
    """The soft labels that `--teacher` names; None where it names none, or none of these data are shipped."""
    from flatnas.training.soft_labels import load_labels
    from pipeline.shipped import shipped_labels

    if teacher == "none":
        return None
    if teacher != "auto":
        return load_labels(Path(teacher))
    with shipped_labels(robust=False) as path:
        found = None if path is None else load_labels(path)
    return found if found is not None and found.data_sha256 == data.content_sha256 else None


def _load(path: Path) -> Supernet:
    """Our own file, or else a checkpoint of OFA's, whose published ones have no suffix of their own."""
    from flatnas.nets.ofa_checkpoints import load_ofa_checkpoint
    from flatnas.nets.supernet_file import load_supernet

    return load_supernet(path) if path.suffix == ".safetensors" else load_ofa_checkpoint(path)


def _train(
    out: Path,
    supernet: Supernet,
    data: Dataset,
    labels: SoftLabels | None,
    recipe: Recipe,
    learning_rate: float | None,
    device: options.Device,
    command: str,
) -> None:
    from pipeline.progress import Reporter
    from pipeline.supernets import train_into

    place = options.torch_device(device)
    if learning_rate is not None:
        recipe = replace(recipe, learning_rate=learning_rate)
        command += f" --learning-rate {learning_rate:g}"
    reporter = Reporter()
    path = train_into(out, supernet.to(place), data, labels, recipe, reporter, command)
    reporter.line(f"supernet in {path}")
