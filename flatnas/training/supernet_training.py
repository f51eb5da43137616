"""Training a supernet: on a teacher's soft labels, or by the sandwich rule, where its largest subnet is the teacher.

With soft labels each step trains random subnets on them (`two_subnets_loss`). Without, the sandwich rule with in-place
distillation (BigNAS, Yu et al. 2020, arXiv 2003.11142): each step draws one of the space's resolutions, trains the
largest subnet on the labels, and the smallest and a random one on the largest one's soft predictions of the same
pixels. The same training adapts a supernet to other classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from flatnas.data.dataset import Dataset
from flatnas.data.resize import Pixels
from flatnas.nets.supernet import Supernet
from flatnas.space.arch import Arch, SearchSpace
from flatnas.training.train import Loss, Progress, Recipe, classification_error, predict, recalibrate, to_input, train

Watch = Callable[[int, Mapping[str, float]], None]  # epochs done, validation error of the watched subnets


def released_recipe(epochs: int, seed: int, data: Dataset) -> Recipe:
    """How the shipped supernets are trained: SGD at a rate that falls over the last sixth, averaged weights.

    SAM costs twice the time; on the nets that come out of a supernet it is the fine-tuning's.
    """
    return Recipe(
        epochs,
        learning_rate=0.1,
        seed=seed,
        weight_decay=3e-5,
        hold_epochs=epochs - max(epochs // 6, 1),
        mirror=data.mirrors,
        shift=data.shift,
        ema=0.999,
    )


def adapting_recipe(epochs: int, seed: int, data: Dataset) -> Recipe:
    """How a shipped supernet learns other classes: few epochs of SAM, augmented as the data allow."""
    return Recipe(epochs, learning_rate=0.05, seed=seed, rho=0.05, batch_size=64, mirror=data.mirrors, shift=data.shift)


def sandwich_loss(supernet: Supernet, seed: int) -> Loss:
    """Cross-entropy of the largest subnet, plus that of the smallest and a random one to the largest one's output."""
    space = supernet.space

    def loss(pixels: Pixels, labels: Tensor, step: int) -> Tensor:
        rng = np.random.default_rng([seed, 2, step])
        x = to_input(pixels, int(rng.choice(space.resolutions)), labels.device)
        logits = supernet(x, space.largest)
        total = functional.cross_entropy(logits, labels)
        soft = logits.detach().softmax(1)
        for arch in (space.smallest, space.sample_by_size(rng)):
            total = total + functional.cross_entropy(supernet(x, arch), soft)
        return total

    return loss


def two_subnets_loss(supernet: Supernet, seed: int) -> Loss:
    """Two random subnets, one with uniform genes and one by size, each at a resolution of its own.

    Every fourth step trains the largest and the smallest one, too: most of the sandwich rule's work goes into the
    largest, which few targets can deploy. All learn from a teacher's targets.
    """
    space = supernet.space

    def loss(pixels: Pixels, labels: Tensor, step: int) -> Tensor:
        rng = np.random.default_rng([seed, 2, step])
        archs = [space.sample(rng), space.sample_by_size(rng)]
        if step % 4 == 0:
            archs += [space.largest, space.smallest]
        total = torch.zeros((), device=labels.device)
        for arch in archs:
            x = to_input(pixels, int(rng.choice(space.resolutions)), labels.device)
            total = total + functional.cross_entropy(supernet(x, arch), labels)
        return total

    return loss


def train_supernet(
    supernet: Supernet,
    data: Dataset,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    identity: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> None:
    """Train in place on the training images; see `flatnas.training.train.train` for resuming, identity and errors.

    Args:
        watch: told after each epoch how well the smallest, the largest and two random subnets do.
    """

    def after_epoch(epochs: int) -> None:
        if watch:
            watch(epochs, subnet_errors(supernet, watched_subnets(supernet), data))

    rule = sandwich_loss if data.train.targets is None else two_subnets_loss
    loss = rule(supernet, recipe.seed)
    train(
        supernet,
        data.train,
        loss,
        recipe,
        checkpoint=checkpoint,
        identity=identity,
        progress=progress,
        after_epoch=after_epoch,
    )


def watched_subnets(supernet: Supernet) -> dict[str, Arch]:
    """The subnets behind a validation curve: smallest, largest, and two random ones."""
    space, rng = supernet.space, np.random.default_rng(0)
    return {"smallest": space.smallest, "largest": space.largest} | {f"random {i}": space.sample(rng) for i in (1, 2)}


def subnet_errors(supernet: Supernet, archs: Mapping[str, Arch], data: Dataset, images: int = 2000) -> dict[str, float]:
    """Error of each subnet on so many validation images, after recalibration on 1,000 training images."""
    device = next(supernet.parameters()).device
    judged, calibration = data.val.subset(images), data.train.subset(1000).pixels_nhwc
    errors = {}
    for name, arch in archs.items():
        net = supernet.extract(arch).to(device)
        recalibrate(net, calibration, arch.resolution)
        errors[name] = classification_error(predict(net, judged.pixels_nhwc, arch.resolution), judged.labels)
    return errors


def new_supernet(space: SearchSpace, seed: int) -> Supernet:
    """A supernet with the random weights of a seed."""
    torch.manual_seed(seed)
    return Supernet(space).to(memory_format=torch.channels_last)
