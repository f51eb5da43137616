"""Supernet: the user's or the shipped one; for other classes than its own it is adapted (new head, a few epochs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import sha256_of, write_bytes
from pipeline.config import PipelineError, RunConfig
from pipeline.runner import Stage, StageContext
from pipeline.shipped import shipped_supernet
from pipeline.training import LABELS, divergence_told, training_images

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset

_OUTPUT = "search/supernet.safetensors"


def _run(context: StageContext) -> None:
    from flatnas.nets.supernet_file import load_supernet, serialize_supernet, with_new_head
    from flatnas.training.supernet_training import adapting_recipe, train_supernet

    config, data = context.config, context.data
    if config.supernet:
        path = Path(config.supernet)
        load_supernet(path)  # refuses damaged weights before they are copied
        if mismatch := _mismatch(path, data):
            raise PipelineError(
                f"{path} is for {mismatch}: call 'pipeline supernet adapt --from {path} --dataset {config.dataset}"
                f"{f' --resolution {config.resolution}' if config.resolution else ''} --out DIR' first"
            )
        write_bytes(context.path(_OUTPUT), path.read_bytes())
        return
    with shipped_supernet() as path:
        if config.dataset == "cifar10":
            write_bytes(context.path(_OUTPUT), path.read_bytes())
            return
        supernet = with_new_head(load_supernet(path), len(data.class_names), data.resolution)
    recipe = adapting_recipe(context.counts.adapt_epochs, config.seed, data)
    remedy = "adapt it at a lower rate ('pipeline supernet adapt --learning-rate RATE'), and name it with --supernet"
    with context.report.track("adapting the supernet") as advance, divergence_told(remedy):
        train_supernet(
            supernet,
            replace(data, train=training_images(context)),
            recipe,
            checkpoint=context.work / "training.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    write_bytes(context.path(_OUTPUT), serialize_supernet(supernet))  # nameless: classes may be renamed later


def _mismatch(path: Path, data: Dataset) -> str | None:
    """What a supernet is for and what the data are instead; None where they agree."""
    from flatnas.nets.supernet_file import read_class_names, read_space

    space, trained = read_space(path), read_class_names(path)
    wanted, has = (len(data.class_names), data.resolution), (space.num_classes, space.resolutions[-1])
    if wanted != has:
        return f"{has[0]} classes at {has[1]} pixels, and '{data.name}' has {wanted[0]} at {wanted[1]}"
    for theirs, ours in zip(trained, data.class_names, strict=False):
        if theirs != ours:
            return f"other classes, with '{theirs}' where '{data.name}' has '{ours}'"
    return None


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    if config.supernet:
        return {"supernet": sha256_of(Path(config.supernet))}
    with shipped_supernet() as path:
        digest = sha256_of(path)
    if config.dataset == "cifar10":
        return {"shipped": digest}
    return {"shipped": digest, "seed": config.seed, "epochs": config.counts.adapt_epochs}


STAGE = Stage("supernet", needs=(LABELS,), gives=(_OUTPUT,), settings=_settings, run=_run)
