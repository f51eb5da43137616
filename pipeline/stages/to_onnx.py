"""ONNX: the fine-tuned subnet, batch norm folded, as a float graph that names its normalisation and classes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from flatnas.space.arch import Arch
from pipeline.files import write_bytes
from pipeline.runs.layout import ARCH, FLOAT_ONNX, SUPERNET, WEIGHTS
from pipeline.runs.stage import Stage, StageContext
from pipeline.values import plain, read_value


@dataclass(frozen=True, slots=True)
class Naming:
    """The classes, in the order of the logits."""

    class_names: tuple[str, ...]


def _run(context: StageContext[Naming]) -> None:
    from safetensors.torch import load_file

    from export.write.fold import fold_batch_norm
    from export.write.to_onnx import to_onnx
    from flatnas.nets.supernet import Subnet
    from flatnas.nets.supernet_file import read_space

    arch = read_value(Arch, context.path(ARCH))
    net = Subnet(read_space(context.path(SUPERNET)), arch).eval()
    net.load_state_dict(load_file(context.path(WEIGHTS)))
    metadata = {
        "input_scale": "0.0078125",
        "input_zero_point": "0",
        "labels": json.dumps(context.settings.class_names),
        "arch": json.dumps(plain(arch)),
    }
    onnx_bytes = to_onnx(fold_batch_norm(net), (1, 3, arch.resolution, arch.resolution), metadata=metadata)
    write_bytes(context.path(FLOAT_ONNX), onnx_bytes)


STAGE = Stage("to_onnx", reads=(ARCH, WEIGHTS, SUPERNET), writes=(FLOAT_ONNX,), settings=Naming, run=_run)
