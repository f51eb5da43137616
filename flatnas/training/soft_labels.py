"""A teacher's soft labels of a data set's training images, as a file that ships: one byte for each probability.

Trainings blend them with the true labels (Hinton et al. 2015, arXiv 1503.02531); they cost nothing at training time,
where a teacher network would cost more than the student (FKD: Shen and Xing, ECCV 2022).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flatnas.data.dataset import Dataset, Images
from flatnas.errors import LabelsError

TEACHER_SHARE = 0.9  # weight of the soft label; the true label has the rest
_KEY, _TENSOR = "labels", "probabilities"
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SoftLabels:
    """Class probabilities of the training images of one data set, in their order.

    Attributes:
        probabilities: uint8 (n, num_classes); a row divided by its sum is a distribution.
        class_names: of the columns.
        data_sha256: `Dataset.content_sha256` of the data whose training images these are of.
    """

    probabilities: npt.NDArray[np.uint8]
    class_names: tuple[str, ...]
    data_sha256: str

    def __post_init__(self) -> None:
        p = self.probabilities
        if p.dtype != np.uint8 or p.ndim != 2 or p.shape[1] != len(self.class_names):
            raise ValueError(f"soft labels must be uint8 (n, {len(self.class_names)}), not {p.dtype} {p.shape}")
        if not p.any(1).all():
            raise ValueError("a row of soft labels is all zero")


def quantize_probabilities(weights: Float32Array) -> npt.NDArray[np.uint8]:
    """Rows of probabilities (n, num_classes), of any sum, as bytes: 255 is the row's largest."""
    scaled = weights / weights.max(1, keepdims=True)
    quantized: npt.NDArray[np.uint8] = np.rint(255 * scaled).astype(np.uint8)
    return quantized


def taught(data: Dataset, labels: SoftLabels, share: float = TEACHER_SHARE) -> Images:
    """The training images with blended targets: `share` of the teacher's distribution, the rest of the true label.

    Raises:
        LabelsError: the labels are of other data.
    """
    if labels.data_sha256 != data.content_sha256 or len(labels.probabilities) != len(data.train):
        raise LabelsError(
            f"these soft labels are of {len(labels.probabilities):,} other training images than the "
            f"{len(data.train):,} of '{data.name}': make new ones with 'pipeline teacher'"
        )
    p = labels.probabilities.astype(np.float32)
    targets = share * p / p.sum(1, keepdims=True)
    targets[np.arange(len(p)), data.train.labels] += np.float32(1 - share)
    return Images(data.train.pixels_nhwc, data.train.labels, targets.astype(np.float32))


def serialize_labels(labels: SoftLabels) -> bytes:
    """The labels as safetensors, with the classes and the data's hash in the metadata."""
    from safetensors.numpy import save

    described = {"class_names": list(labels.class_names), "data_sha256": labels.data_sha256}
    content: bytes = save({_TENSOR: labels.probabilities}, {_KEY: json.dumps(described)})
    return content


def load_labels(path: Path) -> SoftLabels:
    """Read a file of `serialize_labels`' bytes.

    Raises:
        LabelsError: the file can't be read, or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            described: Mapping[str, object] = json.loads((file.metadata() or {})[_KEY])
            probabilities = file.get_tensor(_TENSOR)
        names, digest = described["class_names"], described["data_sha256"]
        if not isinstance(names, list) or not isinstance(digest, str):
            raise TypeError("its description has other types")
        return SoftLabels(probabilities, tuple(map(str, names)), digest)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise LabelsError(f"{path} holds no soft labels ({error}); 'pipeline teacher' makes them") from error
