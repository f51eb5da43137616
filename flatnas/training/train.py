"""One training loop and one evaluation loop, for supernet, fine-tuning and quantization-aware training.

Everything random is a function of (seed, epoch) or (seed, step), so a checkpoint holds only weights, their average,
momentum, the step, and which training it is of; one that was killed ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from flatnas.data.dataset import Images
from flatnas.data.resize import Pixels, resize
from flatnas.errors import TrainingDivergedError
from flatnas.nets.depthwise import quick_depthwise
from flatnas.training.allocator import keep_freed_memory
from flatnas.training.augmix import augmix
from flatnas.training.state import State, held

# augmented pixels (B, H, W, 3), labels (B,) or targets (B, num_classes), step -> scalar
Loss = Callable[[Pixels, Tensor, int], Tensor]
Progress = Callable[[int, int, float], None]  # step, steps, loss

CHECKPOINT_SECONDS = 5.0  # between two; the last one before a kill decides how much is lost, never what comes out
OptimizerKind = Literal["sgd", "adamw"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: by SGD or AdamW, linear warm-up, a rate that may be held, cosine to zero.

    Attributes:
        epochs: passes over the training images.
        learning_rate: at the top of the schedule.
        weight_decay: on convolution and linear weights only.
        optimizer: SGD with Nesterov momentum 0.9, or AdamW.
        head_factor: how many times the rate a layer called `classifier` learns at.
        rho: radius of SAM; 0 is the plain optimizer.
        sam_after: fraction of the steps after which SAM begins.
        adaptive: ASAM instead of SAM.
        mirror: flip half of the images left to right.
        shift: random translation by up to so many pixels.
        augmix: mix each image with its AugMix chains.
        ema: decay per step of the averaged weights that the training returns; 0 returns the last ones.
        hold_epochs: epochs, the first of them for the warm-up, before the rate falls; from a checkpoint within them a
            longer training can go on. With 0 the first tenth of the steps warms up, and then the rate falls.
    """

    epochs: int
    learning_rate: float
    seed: int
    batch_size: int = 128
    weight_decay: float = 1e-4
    rho: float = 0.0
    sam_after: float = 0.0
    adaptive: bool = False
    mirror: bool = True
    shift: int = 4
    augmix: bool = False
    ema: float = 0.0
    hold_epochs: int = 0
    optimizer: OptimizerKind = "sgd"
    head_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.hold_epochs and not 0 < self.hold_epochs < self.epochs:
            raise ValueError(f"the rate of {self.epochs} epochs can't be held for {self.hold_epochs}")

    def rate(self, progress: float) -> float:
        """The learning rate when a share of the steps, in [0, 1), is done."""
        warmup = 1 / self.epochs if self.hold_epochs else 0.1
        hold = self.hold_epochs / self.epochs if self.hold_epochs else warmup
        if progress < warmup:
            return self.learning_rate * ((progress + 0.01 * warmup) / warmup)
        if progress < hold:
            return self.learning_rate
        return self.learning_rate * (0.5 * (1 + math.cos(math.pi * (progress - hold) / (1 - hold))))


def to_input(pixels_nhwc: Pixels, resolution: int, device: torch.device) -> Tensor:
    """uint8 (B, H, W, 3) to float (B, 3, resolution, resolution), channels last in memory: (pixel - 128) / 128."""
    x = torch.from_numpy(resize(pixels_nhwc, resolution)).to(device)
    return x.permute(0, 3, 1, 2).to(torch.float32).sub_(128).div_(128)


def augment(pixels_nhwc: Pixels, recipe: Recipe, rng: np.random.Generator) -> Pixels:
    """Random crops of the reflected border, flips (He et al. 2016, the standard on CIFAR) and AugMix."""
    n, h, w, _ = pixels_nhwc.shape
    s = recipe.shift
    padded = np.pad(pixels_nhwc, ((0, 0), (s, s), (s, s), (0, 0)), mode="reflect")
    rows = rng.integers(0, 2 * s + 1, (n, 1)) + np.arange(h)
    columns = rng.integers(0, 2 * s + 1, (n, 1)) + np.arange(w)
    if recipe.mirror:
        flipped = rng.random(n) < 0.5
        columns[flipped] = columns[flipped, ::-1]
    cropped: Pixels = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return augmix(cropped, rng) if recipe.augmix else cropped


def train(
    module: nn.Module,
    images: Images,
    loss: Loss,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    identity: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train `module` in place; with a checkpoint file, go on where an earlier call stopped.

    Args:
        module: on the device to train on; on a GPU the forward pass runs in bfloat16.
        images: augmented anew each epoch; the loss gets their targets where they have some, else their labels.
        loss: of a batch; must compute the same thing when called twice with the same step.
        recipe: of the training; everything random is a function of its seed.
        checkpoint: written every few seconds and at the end, after what `after_epoch` does; the one at the end of the
            epochs whose rate is held stays beside it, for a longer training to go on from.
        identity: what the training is of beside its recipe, by name; kept in the checkpoint, where it must be the same.
            Without it, or where an older checkpoint lacks it, the caller sees to that.
        progress: called after each step.
        after_epoch: called with the number of epochs done while `module` holds the averaged weights.

    Raises:
        CheckpointError: the checkpoint has another identity or recipe; it stays.
        TrainingDivergedError: the loss, its gradient or the weights are not finite; the last good checkpoint stays.
    """
    per_epoch = max(len(images) // recipe.batch_size, 1)
    steps = recipe.epochs * per_epoch
    device = next(module.parameters()).device
    keep_freed_memory()
    state = State(module, recipe, identity or {})
    module.train()
    first = state.load(checkpoint, per_epoch) if checkpoint else 0
    permuted: tuple[int, npt.NDArray[np.int64]] | None = None
    kept = time.monotonic()
    with quick_depthwise(module):
        for step in range(first, steps):
            epoch, batch = divmod(step, per_epoch)
            if permuted is None or permuted[0] != epoch:
                permuted = epoch, np.random.default_rng([recipe.seed, 0, epoch]).permutation(len(images))
            picked = permuted[1][batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
            pixels = augment(images.pixels_nhwc[picked], recipe, np.random.default_rng([recipe.seed, 1, step]))
            aims = images.labels if images.targets is None else images.targets
            labels = torch.from_numpy(aims[picked]).to(device)
            rho = recipe.rho if step >= recipe.sam_after * steps else 0.0
            value = state.step(partial(loss, pixels, labels, step), recipe.rate(step / steps), rho)
            if not math.isfinite(value):
                raise TrainingDivergedError(f"the loss is {value} at step {step} of {steps}")
            if progress:
                progress(step + 1, steps, value)
            keeping = step + 1 == steps or time.monotonic() - kept >= CHECKPOINT_SECONDS
            if keeping and not state.finite():
                raise TrainingDivergedError(f"the weights are not finite after step {step} of {steps}")
            if after_epoch and (step + 1) % per_epoch == 0:
                with state.averaged():
                    after_epoch(epoch + 1)
            if checkpoint and keeping:
                state.save(checkpoint, step + 1)
                kept = time.monotonic()
            if checkpoint and recipe.hold_epochs and step + 1 == recipe.hold_epochs * per_epoch:
                state.save(held(checkpoint), step + 1)
    state.finish()
    module.eval()


def cross_entropy(
    module: nn.Module, resolution: int, smoothing: float, class_weights: npt.NDArray[np.float32] | None = None
) -> Loss:
    """Loss of one network at its own resolution; labels are smoothed, a teacher's targets are soft as they are.

    Args:
        class_weights: of the classes' losses, shape (num_classes,); without them all count the same.
    """
    weights = None if class_weights is None else torch.from_numpy(class_weights)

    def loss(pixels: Pixels, labels: Tensor, step: int) -> Tensor:
        logits = module(to_input(pixels, resolution, labels.device))
        smoothed = smoothing if labels.ndim == 1 else 0.0
        of_classes = None if weights is None else weights.to(logits.device)
        return functional.cross_entropy(logits, labels, of_classes, label_smoothing=smoothed)

    return loss


@torch.inference_mode()
def predict(module: nn.Module, pixels_nhwc: Pixels, resolution: int, batch_size: int = 100) -> npt.NDArray[np.float32]:
    """Logits of every image, shape (n, num_classes)."""
    keep_freed_memory()
    module.eval()
    device = next(module.parameters()).device
    batches = [pixels_nhwc[i : i + batch_size] for i in range(0, len(pixels_nhwc), batch_size)]
    return np.concatenate([module(to_input(batch, resolution, device)).float().cpu().numpy() for batch in batches])


def classification_error(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Share of images whose largest logit is not the label's, in [0, 1]."""
    return float(np.mean(logits.argmax(1) != labels))


def balanced_error(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Mean over the classes among the labels of the share of their images that are answered wrongly, in [0, 1]."""
    wrong, counts = np.bincount(labels[logits.argmax(1) != labels], minlength=labels.max() + 1), np.bincount(labels)
    return float(np.mean(wrong[counts > 0] / counts[counts > 0]))


@torch.no_grad()
def recalibrate(module: nn.Module, pixels_nhwc: Pixels, resolution: int, batch_size: int = 250) -> None:
    """Set the batch-norm statistics to their average over these images (Once-for-All, appendix; Yu et al. 2019).

    All batches weigh the same, so the images are dealt evenly into as few of at most `batch_size` as hold them.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    device = next(module.parameters()).device
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # cumulative average
    module.train()
    for batch in np.array_split(pixels_nhwc, math.ceil(len(pixels_nhwc) / batch_size)):
        module(to_input(batch, resolution, device))
    module.eval()
    for m in norms:
        m.momentum = 0.1
