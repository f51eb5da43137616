"""A teacher: a plain convolutional network, larger than any device takes, whose predictions the subnets learn from.

Three stages of two 3x3 convolutions behind a fixed whitening layer, which makes the first weights independent of the
colours' correlations and saves a third of the epochs (Page 2019, "How to train your ResNet", part 8). It never leaves
the computer that trains it: only its soft labels ship, as in FKD (Shen and Xing, ECCV 2022).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from flatnas.data.dataset import Dataset, Images
from flatnas.data.resize import Pixels
from flatnas.training.soft_labels import SoftLabels, quantize_probabilities
from flatnas.training.train import (
    Progress,
    Recipe,
    classification_error,
    cross_entropy,
    predict,
    recalibrate,
    to_input,
    train,
)

WIDTHS = (96, 256, 256)
LARGEST_RESOLUTION = 64  # larger pictures are resized to this side: its convolutions are dense
_BATCH, _LEAST_STEPS = 128, 200
_PATCH = 2  # side of the patches that are whitened, in pixels
_STATISTICS_IMAGES = 5000  # behind whitening and batch-norm statistics
_VIEWS = ((0, 0), (2, 0), (-2, 0), (0, 2))  # rows and columns that a view is shifted by; each also mirrored


class Teacher(nn.Module):
    """Whitening, three stages that halve the picture, global max pooling, a linear classifier."""

    def __init__(self, num_classes: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        patch_values = 3 * _PATCH**2
        self.whiten = nn.Conv2d(3, 2 * patch_values, _PATCH, bias=False).requires_grad_(False)
        stages, channels = [], 2 * patch_values
        for width in WIDTHS:
            stages.append(_stage(channels, width))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, R, R), pixels as (p - 128) / 128, to logits (B, num_classes)."""
        x = nn.functional.gelu(self.whiten(x))
        x = self.stages(x).amax((2, 3))
        logits: Tensor = self.classifier(x)
        return logits


def _stage(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(channels),
        nn.GELU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.GELU(),
    )


def new_teacher(data: Dataset, seed: int) -> Teacher:
    """A teacher with the random weights of a seed, which whitens patches of the training images."""
    torch.manual_seed(seed)
    net = Teacher(len(data.class_names), min(data.resolution, LARGEST_RESOLUTION))
    x = to_input(data.train.subset(_STATISTICS_IMAGES).pixels_nhwc, net.resolution, torch.device("cpu"))
    with torch.no_grad():
        filters = _whitening(x)
        net.whiten.weight.copy_(torch.cat([filters, -filters]))
    return net.to(memory_format=torch.channels_last)


def teacher_recipe(epochs: int, seed: int, data: Dataset, *, augmix: bool = False) -> Recipe:
    """SGD with averaged weights, and no label smoothing: it hides what classes have in common (Mueller et al. 2019).

    Args:
        epochs: at least; more where the images are too few for a teacher to learn in so many.
        augmix: trains on AugMix-ed images, for labels that a robust student learns from.
    """
    per_epoch = max(len(data.train) // _BATCH, 1)
    return Recipe(
        max(epochs, -(-_LEAST_STEPS // per_epoch)),
        learning_rate=0.1,
        seed=seed,
        batch_size=_BATCH,
        weight_decay=5e-4,
        mirror=data.mirrors,
        shift=data.shift,
        augmix=augmix,
        ema=0.999,
    )


def train_teacher(
    net: Teacher, data: Dataset, recipe: Recipe, *, checkpoint: Path | None = None, progress: Progress | None = None
) -> float:
    """Train in place on the training images; see `flatnas.training.train.train` for resuming and errors.

    Returns:
        The error on all validation images.
    """
    identity = {"data set": data.content_sha256, "teacher": "-".join(map(str, WIDTHS))}
    loss = cross_entropy(net, net.resolution, smoothing=0.0)
    train(net, data.train, loss, recipe, checkpoint=checkpoint, identity=identity, progress=progress)
    recalibrate(
        net, data.train.subset(_STATISTICS_IMAGES).pixels_nhwc, net.resolution
    )  # statistics of averaged weights
    return classification_error(predict(net, data.val.pixels_nhwc, net.resolution), data.val.labels)


def label(net: Teacher, data: Dataset, temperature: float) -> SoftLabels:
    """The teacher's soft labels of the training images: the mean of softmax(logits / temperature) over 8 views.

    The views are shifts by up to two pixels, each also mirrored where a mirrored image keeps its class.
    """
    total = np.zeros((len(data.train), len(data.class_names)), np.float32)
    views = [view for shift in _VIEWS for view in _shifted(data.train, shift, mirrored=data.mirrors)]
    for pixels in views:
        logits = torch.from_numpy(predict(net, pixels, net.resolution))
        total += (logits / temperature).softmax(1).numpy()
    return SoftLabels(quantize_probabilities(total), data.class_names, data.content_sha256)


def _shifted(images: Images, shift: tuple[int, int], *, mirrored: bool) -> list[Pixels]:
    """The images moved by rows and columns into their reflected border, and the mirror images of that."""
    rows, columns = shift
    margin = max(abs(rows), abs(columns), 1)
    padded = np.pad(images.pixels_nhwc, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    _, height, width, _ = images.pixels_nhwc.shape
    top, left = margin + rows, margin + columns
    moved: Pixels = np.ascontiguousarray(padded[:, top : top + height, left : left + width])
    return [moved, np.ascontiguousarray(moved[:, :, ::-1])] if mirrored else [moved]


def _whitening(x: Tensor) -> Tensor:
    """Filters (3 * 4, 3, 2, 2) that decorrelate the patches of x (B, 3, R, R): eigenvectors over sqrt(eigenvalue)."""
    total, products, count = torch.zeros(3 * _PATCH**2).double(), torch.zeros(2 * [3 * _PATCH**2]).double(), 0
    for part in torch.split(x, 100):  # all patches at once would take gigabytes
        patches = nn.functional.unfold(part, _PATCH).transpose(1, 2).reshape(-1, 3 * _PATCH**2).double()
        total, products, count = total + patches.sum(0), products + patches.T @ patches, count + len(patches)
    covariance = products / count - torch.outer(total, total) / count**2
    values, vectors = torch.linalg.eigh(covariance)
    filters: Tensor = vectors.T / torch.sqrt(values + 1e-2 * values[-1] / len(values)).unsqueeze(1)
    return filters.reshape(-1, 3, _PATCH, _PATCH).float()
