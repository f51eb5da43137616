"""One training loop and one evaluation loop, for supernet, fine-tuning and quantization-aware training.

Everything random is a function of (seed, epoch) or (seed, step), so a checkpoint holds only weights, momentum and the
step, and a training that was killed ends with the same weights as one that was not.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from flatnas.datasets import Images
from flatnas.errors import TrainingDivergedError
from flatnas.resize import Pixels, resize
from flatnas.sam import sam_backward

log = logging.getLogger(__name__)

Loss = Callable[[Pixels, Tensor, int], Tensor]  # augmented pixels (B, H, W, 3), labels (B,), step -> scalar
Progress = Callable[[int, int, float], None]  # step, steps, loss


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: SGD with Nesterov momentum 0.9, linear warm-up over the first tenth, cosine to zero.

    Attributes:
        epochs: passes over the training images.
        learning_rate: at the top of the schedule.
        weight_decay: on convolution and linear weights only.
        rho: radius of SAM; 0 is plain SGD.
        sam_after: fraction of the steps after which SAM begins.
        adaptive: ASAM instead of SAM.
        mirror: flip half of the images left to right.
        shift: random translation by up to so many pixels.
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


def to_input(pixels_nhwc: Pixels, resolution: int, device: torch.device) -> Tensor:
    """uint8 (B, H, W, 3) to float (B, 3, resolution, resolution), channels last in memory: (pixel - 128) / 128."""
    x = torch.from_numpy(resize(pixels_nhwc, resolution)).to(device)
    return x.permute(0, 3, 1, 2).to(torch.float32).sub_(128).div_(128)


def shift_and_mirror(pixels_nhwc: Pixels, recipe: Recipe, rng: np.random.Generator) -> Pixels:
    """Random crops of the reflected border, and flips: the standard augmentation of CIFAR (He et al. 2016)."""
    n, h, w, _ = pixels_nhwc.shape
    s = recipe.shift
    padded = np.pad(pixels_nhwc, ((0, 0), (s, s), (s, s), (0, 0)), mode="reflect")
    rows = rng.integers(0, 2 * s + 1, (n, 1)) + np.arange(h)
    columns = rng.integers(0, 2 * s + 1, (n, 1)) + np.arange(w)
    if recipe.mirror:
        flipped = rng.random(n) < 0.5
        columns[flipped] = columns[flipped, ::-1]
    cropped: Pixels = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped


def train(
    module: nn.Module,
    images: Images,
    loss: Loss,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Train `module` in place; with a checkpoint file, go on where an earlier call stopped.

    Raises:
        TrainingDivergedError: the loss is not finite; the last good checkpoint stays.
    """
    per_epoch = max(len(images) // recipe.batch_size, 1)
    steps = recipe.epochs * per_epoch
    device = next(module.parameters()).device
    optimizer = _sgd(module, recipe)
    module.train()
    first = _load_checkpoint(checkpoint, module, optimizer, recipe) if checkpoint else 0
    for step in range(first, steps):
        epoch, batch = divmod(step, per_epoch)
        order = np.random.default_rng([recipe.seed, 0, epoch]).permutation(len(images))
        picked = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        pixels = shift_and_mirror(images.pixels_nhwc[picked], recipe, np.random.default_rng([recipe.seed, 1, step]))
        labels = torch.from_numpy(images.labels[picked]).to(device)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step / steps)
        optimizer.zero_grad(set_to_none=True)
        rho = recipe.rho if step >= recipe.sam_after * steps else 0.0
        value = float(sam_backward(module, partial(loss, pixels, labels, step), rho, adaptive=recipe.adaptive))
        if not math.isfinite(value):
            raise TrainingDivergedError(f"the loss is {value} at step {step} of {steps}; lower the learning rate")
        optimizer.step()
        if progress:
            progress(step + 1, steps, value)
        if checkpoint and ((step + 1) % 50 == 0 or step + 1 == steps):
            _save_checkpoint(checkpoint, module, optimizer, recipe, step + 1)
    module.eval()


def cross_entropy(module: nn.Module, resolution: int, smoothing: float) -> Loss:
    """Loss of one network at its own resolution, with label smoothing."""

    def loss(pixels: Pixels, labels: Tensor, step: int) -> Tensor:
        logits = module(to_input(pixels, resolution, labels.device))
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)

    return loss


@torch.inference_mode()
def predict(module: nn.Module, pixels_nhwc: Pixels, resolution: int, batch_size: int = 250) -> npt.NDArray[np.float32]:
    """Logits of every image, shape (n, num_classes)."""
    module.eval()
    device = next(module.parameters()).device
    batches = [pixels_nhwc[i : i + batch_size] for i in range(0, len(pixels_nhwc), batch_size)]
    return np.concatenate([module(to_input(batch, resolution, device)).float().cpu().numpy() for batch in batches])


def classification_error(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Share of images whose largest logit is not the label's, in [0, 1]."""
    return float(np.mean(logits.argmax(1) != labels))


@torch.no_grad()
def recalibrate(module: nn.Module, pixels_nhwc: Pixels, resolution: int, batch_size: int = 250) -> None:
    """Set the batch-norm statistics to their average over these images (Once-for-All, appendix; Yu et al. 2019)."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    device = next(module.parameters()).device
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # cumulative average
    module.train()
    for i in range(0, len(pixels_nhwc), batch_size):
        module(to_input(pixels_nhwc[i : i + batch_size], resolution, device))
    module.eval()
    for m in norms:
        m.momentum = 0.1


def _schedule(progress: float, warmup: float = 0.1) -> float:
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def _sgd(module: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    decayed = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)


def _save_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.SGD, recipe: Recipe, step: int) -> None:
    from safetensors.torch import save_file

    tensors = {f"module.{name}": value.contiguous() for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    save_file(tensors, unfinished, metadata={"step": str(step), "recipe": repr(recipe)})
    unfinished.replace(path)


def _load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.SGD, recipe: Recipe) -> int:
    from safetensors import safe_open

    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        if metadata["recipe"] != repr(recipe):
            log.warning("the checkpoint %s is of another recipe; training starts afresh", path)
            return 0
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    module.load_state_dict({n.removeprefix("module."): t for n, t in state.items() if n.startswith("module.")})
    for name, parameter in module.named_parameters():
        if f"momentum.{name}" in state:
            momentum = torch.empty_like(parameter).copy_(state[f"momentum.{name}"])
            optimizer.state[parameter]["momentum_buffer"] = momentum
    return int(metadata["step"])
