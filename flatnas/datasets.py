"""Images with labels in three parts: training, validation (from the training data), test.

Shipped supernets must never have seen a validation image, so the validation split is a constant of the data: it does
not depend on a run's seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flatnas.errors import DataError

SPLIT_SEED = 0
NAMES = ("cifar10", "digits")


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Pixels uint8 (N, H, W, 3) and labels int64 (N,)."""

    pixels_nhwc: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.pixels_nhwc) != len(self.labels):
            raise ValueError(f"{len(self.pixels_nhwc)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64] | slice) -> Images:
        """The images at these indices."""
        return Images(self.pixels_nhwc[indices], self.labels[indices])


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A data set, its parts and what training may do to its images.

    Attributes:
        content_sha256: of the pixels and labels of all parts, or of the files they were verified against.
        mirrors: whether a mirrored image keeps its class.
        shift: pixels that a training image may be moved by.
    """

    name: str
    class_names: tuple[str, ...]
    train: Images
    val: Images
    test: Images
    content_sha256: str
    mirrors: bool = True
    shift: int = 4


def load_dataset(name: str, data_dir: Path | None = None) -> Dataset:
    """`cifar10`, `digits`, or a folder of images.

    Args:
        name: one of `NAMES`, or the path of a folder.
        data_dir: where CIFAR-10 lies; else `PIPELINE_DATA` and the user's cache directory are searched.

    Raises:
        DataError: the data is missing, damaged or unfit.
    """
    if name == "cifar10":
        from flatnas.cifar import load_cifar10

        return load_cifar10(data_dir)
    if name == "digits":
        return load_digits()
    if Path(name).is_dir():
        from flatnas.image_folder import load_image_folder

        return load_image_folder(Path(name))
    raise DataError(f"no data set '{name}'; choose one of {', '.join(NAMES)}, or name an existing folder of images")


def load_digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8x8 grey, enlarged to 32x32 RGB by cubic interpolation."""
    import cv2
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    grey = (bunch.images * (255 / 16)).astype(np.uint8)
    enlarged = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in grey])
    everything = Images(np.repeat(enlarged[..., None], 3, axis=3), bunch.target.astype(np.int64))
    rest, test = split_off(everything, 0.2)
    train, val = split_off(rest, 0.2)
    names = tuple(str(digit) for digit in range(10))
    return Dataset("digits", names, train, val, test, content_sha256(train, val, test), mirrors=False, shift=2)


def split_off(images: Images, share: float) -> tuple[Images, Images]:
    """The images without a stratified random share of each class, and that share; the same every time."""
    rng = np.random.default_rng(SPLIT_SEED)
    picked = np.zeros(len(images), bool)
    for c in np.unique(images.labels):
        members = np.flatnonzero(images.labels == c)
        picked[rng.permutation(members)[: round(share * len(members))]] = True
    return images.take(np.flatnonzero(~picked)), images.take(np.flatnonzero(picked))


def content_sha256(*parts: Images) -> str:
    """Hash of the pixels and labels of these parts, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part.pixels_nhwc.shape).encode())
        digest.update(np.ascontiguousarray(part.pixels_nhwc).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return digest.hexdigest()
