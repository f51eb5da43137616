"""Images with labels in three parts: training, validation (from the training data), test.

Shipped supernets must never have seen a validation image, so the validation split is a constant of the data: stratified
by class, drawn from `SPLIT_SEED`, and independent of a run's seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flatnas.errors import DataError

SPLIT_SEED = 0  # never change it: shipped supernets were trained without the images that it picks


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Pixels uint8 (N, H, W, C), RGB or grey, and labels int64 (N,).

    Attributes:
        targets: float32 (N, num_classes), what a training aims at in place of the labels (soft labels).
    """

    pixels_nhwc: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.pixels_nhwc.dtype != np.uint8 or self.pixels_nhwc.ndim != 4 or self.pixels_nhwc.shape[3] not in (1, 3):
            raise ValueError(f"pixels must be uint8 (N, H, W, 3) or (N, H, W, 1), not {_described(self.pixels_nhwc)}")
        if self.labels.dtype != np.int64 or self.labels.ndim != 1:
            raise ValueError(f"labels must be int64 (N,), not {_described(self.labels)}")
        if len(self.pixels_nhwc) != len(self.labels):
            raise ValueError(f"{len(self.pixels_nhwc)} images but {len(self.labels)} labels")
        if self.targets is not None and len(self.targets) != len(self.labels):
            raise ValueError(f"{len(self.labels)} images but {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64] | slice) -> Images:
        """The images at these indices."""
        targets = None if self.targets is None else self.targets[indices]
        return Images(self.pixels_nhwc[indices], self.labels[indices], targets)

    def subset(self, limit: int, seed: int = 0) -> Images:
        """A stratified random subset of at most `limit` images."""
        return self.take(choose_images(self.labels, limit, seed))


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A data set, its parts and what training may do to its images.

    Attributes:
        content_sha256: of the pixels and labels of all parts, or of the digests that their files were verified against.
        mirrors: whether a mirrored image keeps its class.
        shift: pixels that a training image may be moved by.
        licence: of the images, as their makers state it.
    """

    name: str
    class_names: tuple[str, ...]
    train: Images
    val: Images
    test: Images
    content_sha256: str
    mirrors: bool = True
    shift: int = 4
    licence: str = "not stated"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        _n, height, width, _c = self.train.pixels_nhwc.shape
        return height, width

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return int(self.train.pixels_nhwc.shape[3])

    @property
    def resolution(self) -> int:
        """Height and width of the images, in pixels.

        Raises:
            DataError: they are no squares.
        """
        height, width = self.size_hw
        if height != width:
            raise DataError(f"the images of '{self.name}' have {width} x {height} pixels; only squares are taken here")
        return height


def split_indices(labels: npt.NDArray[np.int64], share: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ascending indices of the rest, and of a stratified random share of each class; the same every time."""
    rng = np.random.default_rng(SPLIT_SEED)
    picked = np.zeros(len(labels), bool)
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        picked[rng.permutation(members)[: round(share * len(members))]] = True
    return np.flatnonzero(~picked), np.flatnonzero(picked)


def split_off(images: Images, share: float) -> tuple[Images, Images]:
    """The images without the share that `split_indices` picks, and that share."""
    rest, picked = split_indices(images.labels, share)
    return images.take(rest), images.take(picked)


def choose_images(labels: npt.NDArray[np.int64], limit: int | None, seed: int) -> npt.NDArray[np.int64]:
    """Indices of a stratified random subset, ascending: the same share of every class, at most `limit` in all."""
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    order = np.random.default_rng([seed, 4]).permutation(len(labels))
    rank = np.empty(len(labels), np.float64)  # position of each image among its class, as a fraction of the class
    for c in np.unique(labels):
        members = order[labels[order] == c]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(rank, kind="stable")[:limit])


def content_sha256(*parts: Images) -> str:
    """Hash of the pixels and labels of these parts, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part.pixels_nhwc.shape).encode())
        digest.update(np.ascontiguousarray(part.pixels_nhwc).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return digest.hexdigest()


def _described(array: npt.NDArray[np.generic]) -> str:
    return f"{array.dtype} {array.shape}"
