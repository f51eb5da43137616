"""What trainings share: their directory, what is said when one diverges, and how a run trains a subnet."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flatnas.space.arch import Arch
from pipeline.artifacts import exclusive
from pipeline.config import PipelineError
from pipeline.protocol import Protocol
from pipeline.runner import StageContext

if TYPE_CHECKING:
    from torch import nn

    from flatnas.data.dataset import Images
    from flatnas.nets.supernet import Supernet
    from flatnas.training.train import Recipe


LABELS = "search/labels.safetensors"  # a teacher's, in a run directory that has some
CHECKPOINT, UNFINISHED = "training.safetensors", "training.tmp"  # a long training's, in a directory of its own


@contextmanager
def training_directory(directory: Path, files: Set[str], whose: str) -> Iterator[None]:
    """Keep a long training's directory to this process.

    Args:
        files: names that the training writes.
        whose: they are, for the message.

    Raises:
        PipelineError: the directory holds other files, is in use, or can't be written.
    """
    names = {p.name for p in directory.iterdir() if not p.name.startswith(".")} if directory.is_dir() else set()
    if names - files:
        raise PipelineError(f"{directory} holds other files than {whose}; name an empty or new directory with --out")
    with exclusive(directory):
        yield


@contextmanager
def divergence_told(remedy: str) -> Iterator[None]:
    """What to do, in the error of a training inside that diverges."""
    from flatnas.errors import TrainingDivergedError

    try:
        yield
    except TrainingDivergedError as error:
        raise TrainingDivergedError(f"{error}; {remedy}") from error


def training_images(context: StageContext) -> Images:
    """The training images, which aim at the teacher's soft labels where the run has some."""
    from flatnas.training.soft_labels import load_labels, taught

    labels = context.path(LABELS)
    return taught(context.data, load_labels(labels)) if labels.exists() else context.data.train


def finetuned(
    context: StageContext, supernet: Supernet, arch: Arch, protocol: Protocol, recipe: Recipe, what: str
) -> nn.Module:
    """The subnet after its training, batch norms recalibrated, in eval mode.

    Args:
        protocol: which loss and how many images; the recipe may be another than its own.
        what: is trained, as people are told; also the name of the checkpoint in the stage's folder.
    """
    from flatnas.training.train import cross_entropy, recalibrate, train

    net, images = supernet.extract(arch), training_images(context)
    if protocol.finetune_images is not None:
        images = images.subset(protocol.finetune_images)
    loss = cross_entropy(net, arch.resolution, protocol.label_smoothing)
    remedy = "lower the learning rate (--learning-rate)"
    if context.config.protocol == "paper":
        remedy = "the published learning rate is too high for these data: leave out --protocol paper"
    with context.report.track(what) as advance, divergence_told(remedy):
        train(
            net,
            images,
            loss,
            recipe,
            checkpoint=context.work / f"{what}.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    recalibrate(net, images.subset(5 * context.counts.recalibration_images).pixels_nhwc, arch.resolution)
    return net
