"""Fine-tune: the selected subnet, from its inherited weights, with sharpness-aware minimization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatnas.arch import Arch
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_bytes
from pipeline.config import RunConfig
from pipeline.runner import Stage, StageContext

_LABEL_SMOOTHING = 0.05


def _run(context: StageContext) -> None:
    from safetensors.torch import save

    from flatnas.supernet_file import load_supernet
    from flatnas.train import Recipe, cross_entropy, recalibrate, train

    arch = Arch.from_json(read_json(context.path("model/arch.json")))
    net = load_supernet(context.path("search/supernet.safetensors")).extract(arch)
    images = context.data.train.subset(context.counts.finetune_images)
    recipe = Recipe(
        epochs=context.counts.finetune_epochs,
        learning_rate=0.02,
        seed=context.config.seed,
        rho=0.05,
        mirror=context.data.mirrors,
        shift=context.data.shift,
    )
    with context.report.track("fine-tuning") as advance:
        train(
            net,
            images,
            cross_entropy(net, arch.resolution, _LABEL_SMOOTHING),
            recipe,
            checkpoint=context.work / "training.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    recalibrate(net, images.subset(5 * context.counts.recalibration_images).pixels_nhwc, arch.resolution)
    write_bytes(
        context.path("model/weights.safetensors"), save({n: t.contiguous() for n, t in net.state_dict().items()})
    )


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    return {
        "seed": config.seed,
        "epochs": config.counts.finetune_epochs,
        "images": config.counts.finetune_images,
        "recalibration": config.counts.recalibration_images,
    }


STAGE = Stage(
    "finetune",
    needs=("model/arch.json", "search/supernet.safetensors"),
    gives=("model/weights.safetensors",),
    settings=_settings,
    run=_run,
)
