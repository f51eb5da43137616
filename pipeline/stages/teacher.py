"""Teacher: soft labels of the training images for every training that follows; shipped for CIFAR-10, or made here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import sha256_of, write_bytes
from pipeline.config import PipelineError, RunConfig
from pipeline.runner import Stage, StageContext
from pipeline.shipped import shipped_labels
from pipeline.training import LABELS, divergence_told


def _run(context: StageContext) -> None:
    config, data = context.config, context.data
    context.path(LABELS).unlink(missing_ok=True)
    if config.teaches == "train":
        write_bytes(context.path(LABELS), _made(context))
        return
    if config.teaches == "none":
        return
    from flatnas.training.soft_labels import load_labels

    with shipped_labels(robust=config.augment != "none") as path:
        if path is not None and load_labels(path).data_sha256 == data.content_sha256:
            write_bytes(context.path(LABELS), path.read_bytes())
        elif config.teaches == "labels":
            raise PipelineError(f"no soft labels of '{data.name}' are shipped: --teacher train makes them")


def _made(context: StageContext) -> bytes:
    from flatnas.training.soft_labels import serialize_labels
    from flatnas.training.teacher import label, new_teacher, teacher_recipe, train_teacher

    config, data = context.config, context.data
    recipe = teacher_recipe(context.counts.teacher_epochs, config.seed, data, augmix=config.augment == "augmix")
    net = new_teacher(data, config.seed)
    with context.report.track("training the teacher") as advance, divergence_told("leave out --teacher train"):
        error = train_teacher(
            net,
            data,
            recipe,
            checkpoint=context.work / "teacher.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    context.report.line(f"    the teacher's error on validation images: {error:.1%}")
    return serialize_labels(label(net, data, temperature=1.0))


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    settings: dict[str, Any] = {"teacher": config.teaches}
    if config.teaches == "train":
        settings |= {"seed": config.seed, "epochs": config.counts.teacher_epochs, "augment": config.augment}
    elif config.teaches != "none":
        with shipped_labels(robust=config.augment != "none") as path:
            settings["shipped"] = None if path is None else sha256_of(path)
    return settings


STAGE = Stage("teacher", needs=(), gives=(), may_give=(LABELS,), settings=_settings, run=_run)
