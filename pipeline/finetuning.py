"""How a run trains a subnet from the weights it inherits: our way, or the way FlatNAS was published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flatnas.space.arch import Arch
from flatnas.training import published
from flatnas.training.fitting import LARGE, class_weights, fitted_recipe
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
_EPOCH = 45_000  # pictures that a preset's epoch means where there are fewer: CIFAR-10's
_WATCHED_IMAGES, _WATCHED = 1000, 20  # validation images, at most; how often people are told of them, at most


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
        """Of the training.

        On fewer than `LARGE` pictures AdamW takes the place of SGD, and a preset's epochs say how many are seen in all.
        """
        from flatnas.training.train import Recipe

        if self.protocol == "paper":
            return published.published_recipe(data, self.seed, self.finetune_epochs, self.learning_rate)
        if len(data.train) < LARGE:
            return fitted_recipe(
                data,
                self.finetune_epochs * min(self.finetune_images, _EPOCH),
                self.seed,
                rate=self.learning_rate,
                rho=_RHO[self.optimizer],
                sam_after=self.plain_share,
                adaptive=self.optimizer == "asam",
                augmix=self.augment == "augmix",
            )
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
    weights = None if by.protocol == "paper" else class_weights(images.labels, len(context.data.class_names))
    watched = _Watched(net, arch.resolution, context.data.val, recipe.epochs)
    with context.report.track(what) as advance, divergence_told(remedy):
        train(
            net,
            images,
            cross_entropy(net, arch.resolution, by.label_smoothing, weights),
            recipe,
            checkpoint=context.work / f"{what}.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}{watched.note}"),
            after_epoch=watched.look,
        )
    recalibrate(net, images.subset(5 * by.recalibration_images).pixels_nhwc, arch.resolution)
    return net


class _Watched:
    """What people are told of a training beside its loss."""

    def __init__(self, net: nn.Module, resolution: int, val: Images, epochs: int) -> None:
        self._net, self._resolution, self._val = net, resolution, val.subset(_WATCHED_IMAGES)
        self._every, self._epochs = max(epochs // _WATCHED, 1), epochs
        self.note = ""

    def look(self, epoch: int) -> None:
        """After so many epochs: the balanced error on some validation images, now and then and at the end."""
        from flatnas.training.train import balanced_error, predict

        if len(self._val) and (epoch % self._every == 0 or epoch == self._epochs):
            logits = predict(self._net, self._val.pixels_nhwc, self._resolution)
            self.note = f", balanced validation error {balanced_error(logits, self._val.labels):.1%}"
