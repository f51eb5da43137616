"""Supernet: the shipped one for CIFAR-10's classes; for other data it is adapted (new head, a few epochs)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any

from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import write_bytes
from pipeline.config import RunConfig
from pipeline.runner import Stage, StageContext

_OUTPUT = "search/supernet.safetensors"


def _run(context: StageContext) -> None:
    shipped = files("flatnas") / "pretrained" / "cifar10.safetensors"
    if context.config.dataset == "cifar10":
        write_bytes(context.path(_OUTPUT), shipped.read_bytes())
        return
    from flatnas.supernet_training import load_supernet, serialize_supernet, train_supernet, with_new_head
    from flatnas.train import Recipe

    with as_file(shipped) as path:
        supernet = with_new_head(load_supernet(path), len(context.data.class_names))
    recipe = Recipe(
        epochs=context.counts.adapt_epochs,
        learning_rate=0.05,
        seed=context.config.seed,
        rho=0.05,
        batch_size=64,
        mirror=context.data.mirrors,
        shift=context.data.shift,
    )
    with context.report.track("adapting the supernet") as advance:
        train_supernet(
            supernet,
            context.data,
            recipe,
            checkpoint=context.work / "training.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    write_bytes(context.path(_OUTPUT), serialize_supernet(supernet))


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    import hashlib

    shipped = (files("flatnas") / "pretrained" / "cifar10.safetensors").read_bytes()
    digest = hashlib.sha256(shipped).hexdigest()
    if config.dataset == "cifar10":
        return {"shipped": digest}
    return {"shipped": digest, "seed": config.seed, "epochs": config.counts.adapt_epochs}


STAGE = Stage("supernet", needs=(), gives=(_OUTPUT,), settings=_settings, run=_run)
