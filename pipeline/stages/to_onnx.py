"""ONNX: the fine-tuned subnet, batch norm folded, as a float graph that names its normalisation and classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flatnas.space.arch import Arch
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_bytes
from pipeline.config import RunConfig
from pipeline.runner import Stage, StageContext


def _run(context: StageContext) -> None:
    from safetensors.torch import load_file

    from export.fold import fold_batch_norm
    from export.to_onnx import to_onnx
    from flatnas.nets.supernet import Subnet
    from flatnas.nets.supernet_file import read_space

    arch = Arch.from_json(read_json(context.path("model/arch.json")))
    net = Subnet(read_space(context.path("search/supernet.safetensors")), arch).eval()
    net.load_state_dict(load_file(context.path("model/weights.safetensors")))
    metadata = {
        "input_scale": "0.0078125",
        "input_zero_point": "0",
        "labels": json.dumps(list(context.data.class_names)),
        "arch": json.dumps(arch.to_json()),
    }
    onnx_bytes = to_onnx(fold_batch_norm(net), (1, 3, arch.resolution, arch.resolution), metadata=metadata)
    write_bytes(context.path("model/model.float.onnx"), onnx_bytes)


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    return {}


STAGE = Stage(
    "to_onnx",
    needs=("model/arch.json", "model/weights.safetensors", "search/supernet.safetensors"),
    gives=("model/model.float.onnx",),
    settings=_settings,
    run=_run,
    names_classes=True,
)
