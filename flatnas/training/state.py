"""What a training carries from step to step and keeps in its checkpoint: weights, moments, averaged weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from flatnas.errors import CheckpointError
from flatnas.training.sam import sam_backward

if TYPE_CHECKING:
    from flatnas.training.train import Recipe

# an optimizer's tensors of each parameter, as torch calls them and as a checkpoint does
_KEPT = {"momentum_buffer": "momentum", "exp_avg": "mean", "exp_avg_sq": "square", "step": "step"}
_DEFAULTS = {"optimizer": "sgd", "head_factor": 1.0}  # of recipes in checkpoints that are older than these


def held(checkpoint: Path) -> Path:
    """Where a training keeps the checkpoint from which its rate falls."""
    return checkpoint.with_stem(f"{checkpoint.stem}-held")


class State:
    """What a training carries from step to step: weights, momentum, averaged weights."""

    def __init__(self, module: nn.Module, recipe: Recipe, identity: Mapping[str, str]) -> None:
        self.module, self.recipe, self.identity = module, recipe, dict(identity)
        self.parameters: list[Tensor] = list(module.parameters())
        self.optimizer = _optimizer(module, recipe)
        self.average = [p.detach().clone() for p in self.parameters] if recipe.ema else []
        self.steps = 0

    def step(self, loss: Callable[[], Tensor], learning_rate: float, rho: float) -> float:
        """One update, skipped where loss or gradient is not finite; returns the loss, NaN where it's the gradient."""

        def autocast() -> Tensor:
            device = self.parameters[0].device.type
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                return loss()

        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        value = float(sam_backward(self.module, autocast, rho, adaptive=self.recipe.adaptive))
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if math.isfinite(value) and not math.isfinite(float(torch.stack(torch._foreach_norm(gradients)).sum())):
            value = math.nan
        if math.isfinite(value):
            self.optimizer.step()
            self.steps += 1
            if self.average:
                decay = min(self.recipe.ema, self.steps / (self.steps + 10))  # the first weights are soon forgotten
                with torch.no_grad():
                    torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return value

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The module with its averaged weights, in eval mode; on leaving, the trained ones are back."""
        trained = [p.detach().clone() for p in self.parameters]
        self.finish()
        self.module.eval()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, trained)
            self.module.train()

    @torch.no_grad()
    def finite(self) -> bool:
        """Whether every weight is a finite number; an update may overflow after a finite gradient."""
        norms = torch._foreach_norm([*self.parameters, *self.average])
        return math.isfinite(float(torch.stack(norms).sum()))

    def finish(self) -> None:
        """Put the averaged weights into the module."""
        if self.average:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, self.average)

    def save(self, path: Path, step: int) -> None:
        """Write everything that `load` needs, under a temporary name first."""
        from safetensors.torch import save_file

        tensors = {f"module.{name}": value.contiguous() for name, value in self.module.state_dict().items()}
        names = [name for name, _ in self.module.named_parameters()]
        for name, parameter in zip(names, self.parameters, strict=True):
            kept = self.optimizer.state[parameter]
            tensors |= {f"{_KEPT[key]}.{name}": t.contiguous() for key, t in kept.items() if t is not None}
        tensors |= {f"average.{name}": t.contiguous() for name, t in zip(names, self.average, strict=False)}
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}")
        described = {"recipe": json.dumps(asdict(self.recipe)), "identity": json.dumps(self.identity)}
        save_file(tensors, unfinished, metadata={"step": str(step), **described})
        unfinished.replace(path)

    def load(self, path: Path, per_epoch: int) -> int:
        """Read a checkpoint; returns the steps done, 0 where there is none.

        Args:
            per_epoch: steps of an epoch. A checkpoint within the epochs whose rate both recipes hold may be of a
                training of another length.

        Raises:
            CheckpointError: it has another identity or recipe.
        """
        from safetensors import safe_open

        if not path.exists():
            return 0
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            theirs = json.loads(metadata.get("identity", "{}"))
            other = [name for name, value in self.identity.items() if theirs.get(name, value) != value]
            ours = asdict(self.recipe)
            recipe = _DEFAULTS | json.loads(metadata["recipe"])
            ends = {"epochs", "hold_epochs"}
            differing = {name for name, value in ours.items() if recipe.get(name) != value}
            if int(metadata["step"]) <= min(recipe.get("hold_epochs", 0), self.recipe.hold_epochs) * per_epoch:
                differing -= ends
            if not other and differing and differing <= ends and held(path).exists():
                return self.load(held(path), per_epoch)
            other += [name.replace("_", " ") for name in ours if name in differing]
            if other:
                raise CheckpointError(
                    f"{path} is the checkpoint of a training with another {', '.join(other)}; train into another "
                    "directory (--out), or delete the checkpoint to start afresh"
                )
            saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.module.load_state_dict({n.removeprefix("module."): t for n, t in saved.items() if n.startswith("module.")})
        for i, (name, parameter) in enumerate(self.module.named_parameters()):
            for key, kind in _KEPT.items():
                if f"{kind}.{name}" in saved:
                    value = saved[f"{kind}.{name}"]
                    kept = value if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
                    self.optimizer.state[parameter][key] = kept
            if self.average:
                self.average[i].copy_(saved[f"average.{name}"])
        self.steps = int(metadata["step"])
        return self.steps


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's, which decays matrices alone and lets the classifier learn at a rate of its own."""
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in module.named_parameters():
        head = recipe.head_factor != 1 and name.split(".")[0] == "classifier"
        groups.setdefault((head, parameter.ndim > 1), []).append(parameter)
    described = [
        {
            "params": parameters,
            "weight_decay": recipe.weight_decay if decayed else 0.0,
            "factor": recipe.head_factor if head else 1.0,
        }
        for (head, decayed), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(described, lr=recipe.learning_rate)
    return torch.optim.SGD(described, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
