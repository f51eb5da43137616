"""Training a supernet into a directory: weights, validation curve and card; what was killed goes on.

supernet.safetensors    the averaged weights, float16
card.json               recipe, data, cost and validation errors
curve.jsonl             one line per epoch: seconds so far, errors of the watched subnets
training.safetensors    the checkpoint, which only the same training goes on from
training-held.safetensors  the checkpoint from which the rate falls: a longer training goes on from there
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.files import write_bytes, write_json
from pipeline.training import CHECKPOINT, HELD, divergence_told, training_directory

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from flatnas.nets.supernet import Supernet
    from flatnas.training.soft_labels import SoftLabels
    from flatnas.training.train import Recipe
    from pipeline.progress import Reporter


_FILES = {"supernet.safetensors", "card.json", "curve.jsonl", CHECKPOINT, HELD}


def train_into(
    directory: Path,
    supernet: Supernet,
    data: Dataset,
    labels: SoftLabels | None,
    recipe: Recipe,
    reporter: Reporter,
    command: str,
) -> Path:
    """Train `supernet`, on the device it lies on, and write the files above; returns the weights' path.

    Args:
        labels: a teacher's, of the training images.
        command: what trains it again, for the card.

    Raises:
        PipelineError: the directory is in use, holds something else, or can't be one.
        LabelsError: the labels are of other data.
        CheckpointError: the directory's checkpoint is of other data or labels, another space or another start.
        TrainingDivergedError: the loss is not finite; the last good checkpoint stays in the directory.
    """
    with training_directory(directory, _FILES, "a supernet's"):
        return _train_into(directory, supernet, data, labels, recipe, reporter, command)


def _train_into(
    directory: Path,
    supernet: Supernet,
    data: Dataset,
    labels: SoftLabels | None,
    recipe: Recipe,
    reporter: Reporter,
    command: str,
) -> Path:
    from flatnas.nets.supernet_file import serialize_supernet
    from flatnas.training.soft_labels import taught
    from flatnas.training.supernet_training import train_supernet

    learned = data if labels is None else replace(data, train=taught(data, labels))
    checkpoint = directory / CHECKPOINT
    if not checkpoint.exists():  # started afresh: an earlier training's curve is not this one's
        (directory / "curve.jsonl").unlink(missing_ok=True)
    curve = _Curve(directory / "curve.jsonl")
    remedy = "lower the learning rate (--learning-rate), with another --out"
    with reporter.track("training the supernet") as advance, divergence_told(remedy):

        def watch(epochs: int, errors: Mapping[str, float]) -> None:
            row = curve.append(epochs, errors)
            shown = ", ".join(f"{name} {error:.1%}" for name, error in errors.items())
            reporter.line(f"    epoch {epochs} of {recipe.epochs}, {row['seconds']:.0f} s: validation error {shown}")

        train_supernet(
            supernet,
            learned,
            recipe,
            checkpoint=checkpoint,
            identity=_identity(supernet, data, labels),
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
            watch=watch,
        )
    path = directory / "supernet.safetensors"
    content = serialize_supernet(supernet, data.class_names)
    write_bytes(path, content)
    card = {
        "space": supernet.space.name,
        "resolution": supernet.space.resolutions[-1],
        "classes": list(data.class_names),
        "recipe": asdict(recipe),
        "command": command,
        "data": {
            "name": Path(data.name).name,
            "sha256": data.content_sha256,
            "train": len(data.train),
            "licence": data.licence,
        },
        "labels_sha256": _sha256(labels),
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": sum(p.numel() for p in supernet.parameters()),
        "seconds": curve.rows[-1]["seconds"] if curve.rows else 0,
        "validation_error": curve.rows[-1]["errors"] if curve.rows else {},
    }
    write_json(directory / "card.json", card)
    return path


def _sha256(labels: SoftLabels | None) -> str | None:
    return None if labels is None else hashlib.sha256(labels.probabilities.tobytes()).hexdigest()


def _identity(supernet: Supernet, data: Dataset, labels: SoftLabels | None) -> dict[str, str]:
    """What an untrained supernet's training is of, beside the recipe."""
    from flatnas.nets.supernet_file import serialize_supernet

    space = supernet.space
    return {
        "data set": data.content_sha256,
        "teacher": _sha256(labels) or "none",
        "search space": space.name,
        "number of classes": str(space.num_classes),
        "resolution": str(space.resolutions[-1]),
        "start": hashlib.sha256(serialize_supernet(supernet)).hexdigest(),
    }


class _Curve:
    """Validation errors by epoch, stored as they come; an epoch that a resumed training repeats is replaced."""

    def __init__(self, path: Path) -> None:
        self._path, self._started = path, time.monotonic()
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._earlier = self.rows[-1]["seconds"] if self.rows else 0.0

    def append(self, epoch: int, errors: Mapping[str, float]) -> dict[str, Any]:
        seconds = round(self._earlier + time.monotonic() - self._started, 1)
        row = {"epoch": epoch, "seconds": seconds, "errors": dict(errors)}
        self.rows = [r for r in self.rows if r["epoch"] < epoch] + [row]
        write_bytes(self._path, "".join(json.dumps(r) + "\n" for r in self.rows).encode())
        return row
