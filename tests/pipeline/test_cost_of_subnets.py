"""What the search's cost model says of many subnets, against fvcore, the exported files and TFLite Micro itself."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space, mobile_space
from hardware_profiles.cost.memory import TFLM_ORDER, plan_memory
from hardware_profiles.cost.ops import macs
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import load_profile

SPACE = mcu_space(10)


def subnets(count: int) -> list[Arch]:
    rng = np.random.default_rng(7)
    return [SPACE.smallest, SPACE.largest, *(SPACE.sample(rng) for _ in range(count - 2))]


@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.slow)])
def test_macs_equal_fvcores(count: int) -> None:
    torch = pytest.importorskip("torch")
    analysis = pytest.importorskip("fvcore.nn")
    from flatnas.nets.supernet import Subnet

    for arch in subnets(count):
        image = torch.zeros(1, 3, arch.resolution, arch.resolution)
        net = Subnet(SPACE, arch).eval()
        counted = analysis.FlopCountAnalysis(net, image).unsupported_ops_warnings(False).by_operator()
        assert sum(macs(op) for op in lower(SPACE, arch)) == counted["conv"] + counted["linear"], str(arch)


@pytest.mark.benchmark
def test_the_cost_of_a_subnet_takes_less_than_a_millisecond() -> None:
    archs, profile = subnets(200), load_profile("cortex-m7")

    def seconds() -> float:
        start = time.process_time()  # of this process: other work on the machine is not the cost model's
        for arch in archs:
            footprint(lower(SPACE, arch), profile)
        return (time.process_time() - start) / len(archs)

    assert min(seconds() for _ in range(3)) < 1e-3


@pytest.mark.parametrize("count", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_the_arena_is_the_one_that_tflite_micro_records(count: int, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    runtime = pytest.importorskip("tflite_micro").runtime
    profile = load_profile("cortex-m7")
    for arch in subnets(count):
        content = exported(arch)
        runtime.Interpreter.from_bytes(content).print_allocations()
        (head,) = re.findall(r"Arena allocation head (\d+) bytes", "".join(capfd.readouterr()))
        ops = lower(SPACE, arch)
        assert plan_memory(ops, (TFLM_ORDER,)).peak_bytes == int(head), str(arch)
        assert plan_memory(ops).peak_bytes <= int(head), str(arch)
        shipped, searched = in_file(content, profile), footprint(ops, profile)
        assert (searched.params, searched.macs, searched.sram_bytes, searched.latency_ms) == shipped, str(arch)


def exported(arch: Arch) -> bytes:
    from export.calibrate import calibrate
    from export.quantize import quantize
    from export.read_onnx import read_onnx
    from export.write.fold import fold_batch_norm
    from export.write.to_onnx import to_onnx
    from export.write.to_tflite import to_tflite
    from flatnas.nets.supernet import Subnet

    shape = (1, 3, arch.resolution, arch.resolution)
    float_onnx = to_onnx(fold_batch_norm(Subnet(SPACE, arch)), shape)
    images = np.random.default_rng(0).standard_normal((2, *shape[1:])).astype(np.float32)
    return to_tflite(read_onnx(quantize(float_onnx, calibrate(float_onnx, images), input_scale=1 / 128)))


def in_file(content: bytes, profile: object) -> tuple[object, ...]:
    from export.read_tflite import read_tflite
    from export.to_ops import to_ops

    cost = footprint(to_ops(read_tflite(content)), profile, file_bytes=len(content))  # type: ignore[arg-type]
    return cost.params, cost.macs, cost.sram_bytes, cost.latency_ms


def test_the_latency_budget_of_the_raspberry_pi_cuts_through_the_mobile_space() -> None:
    profile, space, rng = load_profile("raspberry-pi-4"), mobile_space(10), np.random.default_rng(0)
    over = [
        excess(footprint(lower(space, space.sample_by_size(rng)), profile), profile.budget)["latency_ms"] > 0
        for _ in range(60)
    ]
    assert 6 <= sum(over) <= 54
