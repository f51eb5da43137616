"""Fine-tune: the selected subnet, from its inherited weights, by default with sharpness-aware minimization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatnas.space.arch import Arch
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_bytes
from pipeline.config import RunConfig
from pipeline.protocol import run_protocol
from pipeline.runner import Stage, StageContext
from pipeline.training import LABELS, finetuned

_SUPERNET = "search/supernet.safetensors"


def _run(context: StageContext) -> None:
    from safetensors.torch import save

    from flatnas.nets.supernet_file import load_supernet

    arch = Arch.from_json(read_json(context.path("model/arch.json")))
    supernet, protocol = load_supernet(context.path(_SUPERNET)), run_protocol(context.config)
    net = finetuned(context, supernet, arch, protocol, protocol.recipe(context.data), "fine-tuning")
    write_bytes(
        context.path("model/weights.safetensors"), save({n: t.contiguous() for n, t in net.state_dict().items()})
    )


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    protocol = run_protocol(config)
    return {
        "seed": config.seed,
        "protocol": config.protocol,
        "augment": config.augment,
        "optimizer": config.optimizer,
        "epochs": config.counts.finetune_epochs,
        "rate": config.counts.finetune_rate,
        "plain share": config.counts.plain_share,
        "images": protocol.finetune_images,
        "recalibration": config.counts.recalibration_images,
    }


STAGE = Stage(
    "finetune",
    needs=("model/arch.json", _SUPERNET, LABELS),
    gives=("model/weights.safetensors",),
    settings=_settings,
    run=_run,
)
