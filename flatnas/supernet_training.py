"""Training a supernet: the sandwich rule with in-place distillation (BigNAS, Yu et al. 2020, arXiv 2003.11142).

Each step trains the largest subnet on the labels, and the smallest and a random one on the largest one's soft
predictions, each at its own resolution. The same training adapts a supernet to other classes.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from flatnas.arch import Arch, mcu_space
from flatnas.datasets import Dataset, load_dataset
from flatnas.errors import SupernetError
from flatnas.resize import Pixels
from flatnas.supernet import Supernet
from flatnas.train import Loss, Progress, Recipe, classification_error, predict, recalibrate, to_input, train

log = logging.getLogger(__name__)


def sandwich_loss(supernet: Supernet, seed: int) -> Loss:
    """Cross-entropy of the largest subnet, plus that of the smallest and a random one to the largest one's output."""
    space = supernet.space

    def loss(pixels: Pixels, labels: Tensor, step: int) -> Tensor:
        random = space.sample(np.random.default_rng([seed, 2, step]))
        logits = supernet(to_input(pixels, space.largest.resolution, labels.device), space.largest)
        total = functional.cross_entropy(logits, labels)
        soft = logits.detach().softmax(1)
        for arch in (space.smallest, random):
            student = supernet(to_input(pixels, arch.resolution, labels.device), arch)
            total = total + functional.cross_entropy(student, soft)
        return total

    return loss


def train_supernet(
    supernet: Supernet,
    data: Dataset,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Train in place on the training images; see `flatnas.train.train` for resuming and errors."""
    train(supernet, data.train, sandwich_loss(supernet, recipe.seed), recipe, checkpoint=checkpoint, progress=progress)


def with_new_head(supernet: Supernet, num_classes: int) -> Supernet:
    """A copy whose classifier starts from zero for other classes; the features are kept."""
    adapted = Supernet(dataclasses.replace(supernet.space, num_classes=num_classes))
    state = {name: t for name, t in supernet.state_dict().items() if not name.startswith("classifier.")}
    adapted.load_state_dict(state, strict=False)
    nn.init.zeros_(adapted.classifier.weight)
    nn.init.zeros_(adapted.classifier.bias)
    return adapted.to(memory_format=torch.channels_last)


def subnet_errors(supernet: Supernet, archs: dict[str, Arch], data: Dataset) -> dict[str, float]:
    """Validation error of each subnet after recalibration on 2,000 training images."""
    errors = {}
    for name, arch in archs.items():
        net = supernet.extract(arch)
        recalibrate(net, data.train.subset(2000).pixels_nhwc, arch.resolution)
        errors[name] = classification_error(predict(net, data.val.pixels_nhwc, arch.resolution), data.val.labels)
    return errors


def serialize_supernet(supernet: Supernet) -> bytes:
    """The weights as float16 safetensors, with the space's name and number of classes."""
    from safetensors.torch import save

    tensors = {name: value.to(torch.float16).contiguous() for name, value in supernet.state_dict().items()}
    content: bytes = save(tensors, {"space": supernet.space.name, "num_classes": str(supernet.space.num_classes)})
    return content


def load_supernet(path: Path) -> Supernet:
    """Read a file of `serialize_supernet`'s bytes.

    Raises:
        SupernetError: the file is not a supernet of the space known here.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise SupernetError(f"{path} can't be read as safetensors: {error}") from error
    if "num_classes" not in metadata:
        raise SupernetError(f"{path} is no supernet: it names neither its space nor its number of classes")
    supernet = Supernet(mcu_space(int(metadata["num_classes"])))
    if metadata["space"] != supernet.space.name:
        raise SupernetError(f"{path} is of space '{metadata['space']}', not '{supernet.space.name}'")
    supernet.load_state_dict(state)
    return supernet.to(memory_format=torch.channels_last)


def main() -> None:
    """Train the shipped supernet: `python -m flatnas.supernet_training --data-dir DIR --out DIR`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.out.mkdir(parents=True, exist_ok=True)
    data = load_dataset("cifar10", options.data_dir)
    torch.manual_seed(options.seed)
    supernet = Supernet(mcu_space(len(data.class_names))).to(memory_format=torch.channels_last)
    recipe = Recipe(options.epochs, learning_rate=0.1, seed=options.seed, rho=0.05, sam_after=2 / 3)
    started = time.monotonic()

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 50 == 0:
            log.info("step %d of %d, loss %.3f, %.0f s", step, steps, loss, time.monotonic() - started)

    train_supernet(supernet, data, recipe, checkpoint=options.out / "training.safetensors", progress=progress)
    path = options.out / "cifar10.safetensors"
    path.write_bytes(serialize_supernet(supernet))
    card = _card(load_supernet(path), data, recipe, path, time.monotonic() - started)
    (options.out / "cifar10.json").write_text(json.dumps(card, indent=1) + "\n")


def _card(supernet: Supernet, data: Dataset, recipe: Recipe, path: Path, seconds: float) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    space = supernet.space
    archs = {
        "smallest": space.smallest,
        "largest": space.largest,
        **{f"random {i}": space.sample(rng) for i in range(4)},
    }
    return {
        "space": space.name,
        "recipe": asdict(recipe),
        "data": {
            "name": data.name,
            "sha256": data.content_sha256,
            "train": len(data.train),
            "licence": "CIFAR-10 states none",
        },
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "parameters": sum(p.numel() for p in supernet.parameters()),
        "seconds": round(seconds),
        "validation_error": subnet_errors(supernet, archs, data),
        "command": "python -m flatnas.supernet_training --data-dir DIR --out DIR",
    }


if __name__ == "__main__":
    main()
