"""Training a teacher into a directory; what was killed goes on.

labels.safetensors      its soft labels of the training images
card.json               recipe, data, cost and validation error
training.safetensors    the checkpoint, which only the same training goes on from
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.files import write_bytes, write_json
from pipeline.training import CHECKPOINT, divergence_told, training_directory

if TYPE_CHECKING:
    import torch

    from flatnas.data.dataset import Dataset
    from flatnas.training.train import Recipe
    from pipeline.progress import Reporter

LABELS = "labels.safetensors"
_FILES = {LABELS, "card.json", CHECKPOINT}


def teach_into(
    directory: Path,
    data: Dataset,
    recipe: Recipe,
    temperature: float,
    device: torch.device,
    reporter: Reporter,
    command: str,
) -> Path:
    """Train a teacher on the training images and write the files above; returns the labels' path.

    Args:
        temperature: divides the logits behind the labels; above 1 they are softer.
        command: what makes them again, for the card.

    Raises:
        PipelineError: the directory is in use, holds something else, or can't be one.
        CheckpointError: the directory's checkpoint is of other data or another recipe.
        TrainingDivergedError: the loss is not finite; the last good checkpoint stays in the directory.
    """
    from flatnas.training.soft_labels import serialize_labels
    from flatnas.training.teacher import label, new_teacher, train_teacher

    with training_directory(directory, _FILES, "a teacher's"):
        started, net = time.process_time(), new_teacher(data, recipe.seed).to(device)
        remedy = "lower the learning rate (--learning-rate), with another --out"
        with reporter.track("training the teacher") as advance, divergence_told(remedy):
            error = train_teacher(
                net,
                data,
                recipe,
                checkpoint=directory / CHECKPOINT,
                progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
            )
        reporter.line(f"    validation error {error:.2%}")
        labels = label(net, data, temperature)
        content = serialize_labels(labels)
        path = directory / LABELS
        write_bytes(path, content)
        card = {
            "classes": list(data.class_names),
            "recipe": asdict(recipe),
            "temperature": temperature,
            "command": command,
            "data": {
                "name": data.name,
                "sha256": data.content_sha256,
                "train": len(data.train),
                "licence": data.licence,
            },
            "sha256": hashlib.sha256(content).hexdigest(),
            "parameters": sum(p.numel() for p in net.parameters()),
            "cpu_seconds_since_start": round(time.process_time() - started, 1),
            "validation_error": error,
        }
        write_json(directory / "card.json", card)
    return path
