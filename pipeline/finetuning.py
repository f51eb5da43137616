"""How a run trains a subnet from the weights it inherits: our way, or the way FlatNAS was published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flatnas.space.arch import Arch
from flatnas.training import published
from pipeline.config import AugmentName, OptimizerName, ProtocolName
from pipeline.runs.layout import LABELS
from pipeline.runs.stage import StageContext
from pipeline.training import divergence_told

if TYPE_CHECKING:
    from torch import nn

    from flatnas.data.dataset import Dataset, Images
    from flatnas.nets.supernet import Supernet
    from flatnas.training.train import Recipe

_RHO = {"sam": 0.05, "asam": 0.5, "sgd": 0.0}  # Foret et al. 2020, section 3.1; Kwon et al. 2021, section 5; no SAM
_LABEL_SMOOTHING = 0.05


@dataclass(frozen=True, slots=True)
class Finetuning:
    """What a fine-tuning depends on, beside the supernet, the data and the teacher; see `pipeline.config`."""

    seed: int
    protocol: ProtocolName
    augment: AugmentName
    optimizer: OptimizerName
    finetune_epochs: int
    learning_rate: float
    plain_share: float
    finetune_images: int
    recalibration_images: int

    def recipe(self, data: Dataset) -> Recipe:
        """Of the training."""
        from flatnas.training.train import Recipe

        if self.protocol == "paper":
            return published.published_recipe(data, self.seed, self.finetune_epochs, self.learning_rate)
        return Recipe(
            epochs=self.finetune_epochs,
            learning_rate=self.learning_rate,
            seed=self.seed,
            rho=_RHO[self.optimizer],
            sam_after=self.plain_share,
            adaptive=self.optimizer == "asam",
            mirror=data.mirrors,
            shift=data.shift,
            augmix=self.augment == "augmix",
        )

    @property
    def label_smoothing(self) -> float:
        """Of true labels; a teacher's are soft as they are."""
        return published.LABEL_SMOOTHING if self.protocol == "paper" else _LABEL_SMOOTHING


def training_images(context: StageContext[object]) -> Images:
    """The training images, which aim at the teacher's soft labels where the run has some."""
    from flatnas.training.soft_labels import load_labels, taught

    labels = context.path(LABELS)
    return taught(context.data, load_labels(labels)) if labels.exists() else context.data.train


def finetuned(
    context: StageContext[object], supernet: Supernet, arch: Arch, by: Finetuning, recipe: Recipe, what: str
) -> nn.Module:
    """The subnet after its training, batch norms recalibrated, in eval mode.

    Args:
        by: loss and number of images; the recipe may be another than its own.
        what: is trained, as people are told; also the name of the checkpoint in the stage's folder.
    """
    from flatnas.training.train import cross_entropy, recalibrate, train

    net, images = supernet.extract(arch), training_images(context).subset(by.finetune_images)
    remedy = "lower the learning rate (--learning-rate)"
    if by.protocol == "paper":
        remedy = "the published learning rate is too high for these data: leave out --protocol paper"
    with context.report.track(what) as advance, divergence_told(remedy):
        train(
            net,
            images,
            cross_entropy(net, arch.resolution, by.label_smoothing),
            recipe,
            checkpoint=context.work / f"{what}.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    recalibrate(net, images.subset(5 * by.recalibration_images).pixels_nhwc, arch.resolution)
    return net
