"""The search and the shipped file ask the same planner: they can't disagree."""

from __future__ import annotations

import numpy as np
import pytest

from export.calibrate import calibrate
from export.quantize import quantize
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.to_ops import to_ops
from export.write.fold import fold_batch_norm
from export.write.to_onnx import to_onnx
from export.write.to_tflite import to_tflite
from flatnas.space.arch import SearchSpace
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space, mobile_space
from hardware_profiles.footprint import footprint
from hardware_profiles.profile import load_profile

torch = pytest.importorskip("torch")


# 64 and 57 pixels: even sides need a PAD before every strided convolution of the mobile space, odd ones need none
@pytest.mark.parametrize(
    ("space", "target", "samples"),
    [
        (mcu_space(10), "cortex-m7", 6),
        (mobile_space(10, 64), "raspberry-pi-4", 2),
        (mobile_space(10, 57, 1.2), "raspberry-pi-4", 1),
    ],
    ids=["mcu", "mobile", "mobile-odd"],
)
def test_a_subnet_costs_in_the_search_what_its_file_costs(space: SearchSpace, target: str, samples: int) -> None:
    from flatnas.nets.supernet import Subnet

    profile, rng = load_profile(target), np.random.default_rng(0)
    for arch in (space.smallest, space.largest, *(space.sample(rng) for _ in range(samples))):
        size = arch.resolution
        net = fold_batch_norm(Subnet(space, arch))
        for conv in (module for module in net.modules() if isinstance(module, torch.nn.Conv2d)):
            if conv.bias is not None:
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
