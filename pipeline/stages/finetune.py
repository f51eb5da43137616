"""Fine-tune: the selected subnet, from its inherited weights, by default with sharpness-aware minimization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatnas.arch import Arch
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_bytes
from pipeline.config import RunConfig
from pipeline.protocol import run_protocol
from pipeline.runner import Stage, StageContext

_SUPERNET = "search/supernet.safetensors"
_LABEL_SMOOTHING = 0.05


def _run(context: StageContext) -> None:
    from safetensors.torch import save

    from flatnas.supernet_file import load_supernet
    from flatnas.train import cross_entropy, distilled, recalibrate, train

    arch = Arch.from_json(read_json(context.path("model/arch.json")))
    supernet, counts, data = load_supernet(context.path(_SUPERNET)), context.counts, context.data
    net = supernet.extract(arch)
    images = data.train.subset(counts.finetune_images)
    recipe = run_protocol(context.config).recipe(data)
    if counts.distillation:
        largest = supernet.space.largest
        teacher = supernet.extract(largest)
        recalibrate(teacher, data.train.subset(2000).pixels_nhwc, largest.resolution)
        loss = distilled(net, arch.resolution, teacher, largest.resolution, counts.distillation)
    else:
        loss = cross_entropy(net, arch.resolution, _LABEL_SMOOTHING)
    with context.report.track("fine-tuning") as advance:
        train(
            net,
            images,
            loss,
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
        "protocol": config.protocol,
        "augment": config.augment,
        "optimizer": config.optimizer,
        "distillation": config.counts.distillation,
        "epochs": config.counts.finetune_epochs,
        "rate": config.counts.finetune_rate,
        "plain share": config.counts.plain_share,
        "images": config.counts.finetune_images,
        "recalibration": config.counts.recalibration_images,
    }


STAGE = Stage(
    "finetune",
    needs=("model/arch.json", _SUPERNET),
    gives=("model/weights.safetensors",),
    settings=_settings,
    run=_run,
)
