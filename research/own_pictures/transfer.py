"""Ways to a net of one's own pictures at equal CPU time.

    adapt      the run of version 0.1: SAM adapts the supernet with a new head, the search measures, the best subnet is
               fine-tuned by SGD and SAM
    head       only the supernet's head is trained; the search measures with frozen features; the best subnet is trained
    whole      as `head`, and the search keeps to subnets that see the pictures at their whole size
    scratch    the architecture that `whole` chose, from random weights
    plain      the net of `research.own_pictures.baseline`, from random weights
    NAME       a released model's architecture and weights at the pictures' size, with a new head

All but `adapt` train by AdamW under one cycle with class weights. The search measures random subnets inside the
budgets of cortex-m7 on validation images. CPU seconds are of this process and count training and search alone.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from flatnas.data.dataset import Dataset, Images
from flatnas.nets.supernet import Subnet, Supernet
from flatnas.nets.supernet_file import load_supernet, with_new_head
from flatnas.search.candidates import Candidates
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from flatnas.training.fitting import class_weights
from flatnas.training.head import head_loss
from flatnas.training.supernet_training import adapting_recipe, sandwich_loss
from flatnas.training.train import Loss, Recipe, balanced_error, cross_entropy, predict, recalibrate, train
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import load_profile
from pipeline.errors import PipelineError
from pipeline.models import released_models
from pipeline.shipped import shipped_supernet
from research.own_pictures.baseline import plain_net
from research.own_pictures.judging import judge_net

SUBNETS = 12  # that a search measures
_TRIAL_STEPS = 12  # that are timed before a training, on a copy
_FROM_SCRATCH, _HEAD_FACTOR = 5e-3, 10 / 3  # rate without weights; what a new classifier learns at beside its net
_BY_SUPERNET = {"adapt": 0.55, "head": 0.25, "whole": 0.25, "scratch": 0.25}  # share of the CPU time for the supernet
_SMOOTHING, _RHO = 0.05, 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """How a net is trained, beside the way.

    Attributes:
        seconds: of CPU time, for training and search.
        sam_after: share of the steps after which SAM begins; 1 is AdamW throughout.
        balance: of rare classes: `weights` in the loss, `sampling` repeats their pictures, or `none`.
        most_macs: of the plain net.
        rate: of nets that start from weights, at the top of the cycle; their new classifier has 10 / 3 times that.
    """

    seconds: float
    seed: int
    sam_after: float = 1.0
    balance: str = "weights"
    most_macs: int = 12_500_000
    rate: float = 1.5e-3


def compare(way: str, data: Dataset, plan: Plan) -> dict[str, Any]:
    """Train by one way and judge on the test part; the record as JSON values."""
    torch.manual_seed(plan.seed)
    started = time.process_time()
    if way == "plain":
        net: nn.Module = plain_net(len(data.class_names), data.resolution, plan.most_macs)
        side, epochs = data.resolution, fit(net, data.resolution, data, plan, plan.seconds, _FROM_SCRATCH)
        arch = None
    elif way in _BY_SUPERNET:
        net, arch, epochs = by_supernet(way, data, plan)
        side = arch.resolution
    else:
        net, arch, epochs = released(way, data, plan)
        side = arch.resolution
    spent = time.process_time() - started
    recalibrate(net, data.train.subset(1000).pixels_nhwc, side)
    in_float, in_int8 = judge_net(net, data, side)
    described = {"set": data.name, "way": way, "resolution": data.resolution, **asdict(plan)}
    cost = {"cpu_seconds": round(spent, 1), "epochs": epochs, "params": sum(p.numel() for p in net.parameters())}
    return described | cost | {"arch": str(arch or "plain"), "float": asdict(in_float), "int8": asdict(in_int8)}


def by_supernet(way: str, data: Dataset, plan: Plan) -> tuple[nn.Module, Arch, int]:
    """The ways with a supernet: (net, its architecture, epochs of its own training)."""
    with shipped_supernet() as path:
        supernet = with_new_head(load_supernet(path), len(data.class_names), data.resolution)
    started = time.process_time()
    if way == "adapt":
        recipe = adapting_recipe(1, plan.seed, data)
        train_for(_BY_SUPERNET[way] * plan.seconds, supernet, data.train, sandwich(plan.seed), recipe)
    else:
        for name, parameter in supernet.named_parameters():
            parameter.requires_grad_(name.startswith("classifier."))
        weights = class_weights(data.train.labels, len(data.class_names))
        loss = heads(plan.seed, weights)
        train_for(_BY_SUPERNET[way] * plan.seconds, supernet, data.train, loss, adamw(data, _FROM_SCRATCH, plan))
    arch = search(supernet.requires_grad_(True), data, plan.seed, whole=way in ("whole", "scratch"))
    net, left = supernet.extract(arch), plan.seconds - (time.process_time() - started)
    if way == "scratch":
        net = Subnet(supernet.space, arch).to(memory_format=torch.channels_last)
        return net, arch, fit(net, arch.resolution, data, plan, plan.seconds, _FROM_SCRATCH)
    if way != "adapt":
        return net, arch, fit(net, arch.resolution, data, plan, left, plan.rate, _HEAD_FACTOR)
    recipe = Recipe(1, 0.1, plan.seed, rho=_RHO, sam_after=0.75, mirror=data.mirrors, shift=data.shift)
    return net, arch, train_for(left, net, data.train, lambda m: cross_entropy(m, arch.resolution, _SMOOTHING), recipe)


def released(name: str, data: Dataset, plan: Plan) -> tuple[nn.Module, Arch, int]:
    """A released model at the pictures' resolution, with a new head: (net, architecture, epochs)."""
    from safetensors.torch import load_file

    if name not in released_models():
        raise PipelineError(
            f"no way '{name}'; choose {', '.join(_BY_SUPERNET)}, plain or one of {', '.join(released_models())}"
        )
    directory = released_models()[name] / "model"
    arch = replace(Arch.from_json(json.loads((directory / "arch.json").read_text())), resolution=data.resolution)
    net = Subnet(mcu_space(len(data.class_names), data.resolution, entry_residuals=True), arch)
    state = {n: t for n, t in load_file(directory / "weights.safetensors").items() if not n.startswith("classifier.")}
    net.load_state_dict(state, strict=False)
    nn.init.zeros_(net.classifier.weight)
    nn.init.zeros_(net.classifier.bias)
    net = net.to(memory_format=torch.channels_last)
    return net, arch, fit(net, arch.resolution, data, plan, plan.seconds, plan.rate, _HEAD_FACTOR)


def search(supernet: Supernet, data: Dataset, seed: int, *, whole: bool) -> Arch:
    """The subnet of least balanced validation error among random ones inside the budgets of cortex-m7.

    Args:
        whole: only subnets at the space's largest resolution.
    """
    profile, space = load_profile("cortex-m7"), supernet.space
    candidates = Candidates(
        space,
        lambda arch: footprint(lower(space, arch), profile),
        lambda cost: tuple(excess(cost, profile.budget).values()),
        seed,
    )
    calibration, found = data.train.subset(500).pixels_nhwc, list[tuple[float, str, Arch]]()
    drawn = candidates.random(SUBNETS * len(space.resolutions) * 2 if whole else SUBNETS, ())
    for arch in [a for a in drawn if not whole or a.resolution == space.resolutions[-1]][:SUBNETS]:
        net = supernet.extract(arch)
        recalibrate(net, calibration, arch.resolution)
        logits = predict(net, data.val.pixels_nhwc, arch.resolution)
        found.append((balanced_error(logits, data.val.labels), str(arch), arch))
    return min(found, key=lambda f: f[:2])[2]


def fit(
    net: nn.Module, side: int, data: Dataset, plan: Plan, seconds: float, rate: float, head_factor: float = 1.0
) -> int:
    """Train a net whole by AdamW, as the plan says; returns the epochs."""
    weights = class_weights(data.train.labels, len(data.class_names)) if plan.balance == "weights" else None
    images = repeated(data.train) if plan.balance == "sampling" else data.train
    recipe = adamw(data, rate, plan, head_factor)
    if plan.sam_after < 1:
        recipe = replace(recipe, rho=_RHO, sam_after=plan.sam_after)
    return train_for(seconds, net, images, lambda m: cross_entropy(m, side, _SMOOTHING, weights), recipe)


def adamw(data: Dataset, rate: float, plan: Plan, head_factor: float = 1.0) -> Recipe:
    """One cycle of AdamW; how long is still to be said."""
    return Recipe(
        1,
        rate,
        plan.seed,
        batch_size=32,
        weight_decay=0.02,
        optimizer="adamw",
        head_factor=head_factor,
        mirror=data.mirrors,
        shift=data.shift,
    )


def repeated(images: Images) -> Images:
    """The pictures of rarer classes several times, so that all classes are about as frequent."""
    counts = np.bincount(images.labels)
    times = np.rint(counts.max() / counts).astype(np.int64)
    return images.take(np.repeat(np.arange(len(images)), times[images.labels]))


def sandwich(seed: int) -> Callable[[nn.Module], Loss]:
    """Makes the loss that adapts a supernet."""

    def loss_of(module: nn.Module) -> Loss:
        assert isinstance(module, Supernet)
        return sandwich_loss(module, seed)

    return loss_of


def heads(seed: int, weights: np.ndarray[Any, np.dtype[np.float32]] | None) -> Callable[[nn.Module], Loss]:
    """Makes the loss that trains a supernet's head."""

    def loss_of(module: nn.Module) -> Loss:
        assert isinstance(module, Supernet)
        return head_loss(module, seed, weights)

    return loss_of


def train_for(
    seconds: float, module: nn.Module, images: Images, loss_of: Callable[[nn.Module], Loss], recipe: Recipe
) -> int:
    """Train for about so many CPU seconds: some steps of a copy are timed first. Returns the epochs."""
    started, trial, marks = time.process_time(), copy.deepcopy(module), list[float]()
    some = images.take(slice(0, _TRIAL_STEPS * recipe.batch_size))
    per_trial = max(len(some) // recipe.batch_size, 1)
    rho = recipe.rho if recipe.sam_after == 0 else 0.0
    timed = replace(recipe, epochs=-(-_TRIAL_STEPS // per_trial), rho=rho)
    train(trial, some, loss_of(trial), timed, progress=lambda *_: marks.append(time.process_time()))
    per_step = float(np.median(np.diff(marks)))
    if recipe.rho and not rho:  # SAM takes two steps' time
        per_step *= 2 - recipe.sam_after
    left = seconds - (time.process_time() - started)
    epochs = max(round(left / per_step / max(len(images) // recipe.batch_size, 1)), 1)
    train(module, images, loss_of(module), replace(recipe, epochs=epochs))
    return epochs
