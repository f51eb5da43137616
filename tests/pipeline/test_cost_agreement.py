"""The search and the shipped file ask the same planner: they can't disagree."""

from __future__ import annotations

import numpy as np
import pytest

from export.calibrate import calibrate
from export.fold import fold_batch_norm
from export.graph import to_ops
from export.quantize import quantize
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.to_onnx import to_onnx
from export.to_tflite import to_tflite
from flatnas.lowering import lower
from flatnas.spaces import mcu_space
from hardware_profiles.footprint import footprint
from hardware_profiles.profile import load_profile

torch = pytest.importorskip("torch")


def test_a_subnet_costs_in_the_search_what_its_file_costs() -> None:
    from flatnas.supernet import Subnet

    space, profile, rng = mcu_space(10), load_profile("cortex-m7"), np.random.default_rng(0)
    for arch in (space.smallest, space.largest, *(space.sample(rng) for _ in range(6))):
        size = arch.resolution
        net = fold_batch_norm(Subnet(space, arch))
        for conv in (module for module in net.modules() if isinstance(module, torch.nn.Conv2d)):
            torch.nn.init.normal_(conv.bias)  # equal ones would be stored once
        float_onnx = to_onnx(net, (1, 3, size, size))
        images = rng.standard_normal((8, 3, size, size)).astype(np.float32)
        content = to_tflite(read_onnx(quantize(float_onnx, calibrate(float_onnx, images), input_scale=1 / 128)))
        searched = footprint(lower(space, arch), profile)
        shipped = footprint(to_ops(read_tflite(content)), profile, file_bytes=len(content))
        assert (searched.params, searched.macs, searched.sram_bytes) == (
            shipped.params,
            shipped.macs,
            shipped.sram_bytes,
        )
        assert searched.latency_ms == shipped.latency_ms
        assert shipped.flash_bytes <= searched.flash_bytes <= shipped.flash_bytes + 1_000
