from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hardware_profiles.cores import FIRMWARE_CORES
from hardware_profiles.cost.cycles_per_instruction import CYCLES_PER_INSTRUCTION
from hardware_profiles.cost.latency import latency_ms
from hardware_profiles.cost.memory import plan_memory
from hardware_profiles.cost.ops import OpSpec, TensorSpec, macs, params
from hardware_profiles.footprint import excess, footprint, op_costs, plan_for, predicted_instructions, violations
from hardware_profiles.profile import load_profile

TFLM = {"runtime": "tflm"}


def small_net() -> list[OpSpec]:
    """conv 3x3 stride 2 (8x8x3 -> 4x4x8), depthwise 3x3, global average, fully connected to 10."""
    image, a, b = TensorSpec("image", (1, 8, 8, 3)), TensorSpec("a", (1, 4, 4, 8)), TensorSpec("b", (1, 4, 4, 8))
    pool, logits = TensorSpec("pool", (1, 1, 1, 8)), TensorSpec("logits", (1, 10))
    return [
        OpSpec("conv", "CONV_2D", (image,), a, (3, 3), (2, 2), weights=216, biases=8, channel_scales=8),
        OpSpec("depthwise_conv", "DEPTHWISE_CONV_2D", (a,), b, (3, 3), weights=72, biases=8, channel_scales=8),
        OpSpec("avg_pool", "AVERAGE_POOL_2D", (b,), pool, (4, 4)),
        OpSpec("fully_connected", "FULLY_CONNECTED", (pool,), logits, weights=80, biases=10, channel_scales=10),
    ]


def test_macs_are_positions_times_weights_and_pooling_has_none() -> None:
    # conv 4*4*3*3*3*8 = 3,456; depthwise 4*4*3*3*8 = 1,152; pool 0; fully connected 8*10 = 80
    assert [macs(op) for op in small_net()] == [3456, 1152, 0, 80]


def test_params_are_weights_and_biases() -> None:
    assert [params(op) for op in small_net()] == [224, 80, 0, 90]


def test_a_footprint_adds_up_its_operators() -> None:
    cost = footprint(small_net(), load_profile("cortex-m4", TFLM))
    assert (cost.params, cost.macs, cost.runtime) == (394, 4688, "tflm")
    assert cost.latency_ms == latency_ms(small_net(), "cortex-m4", "tflm", 180_000_000)
    assert cost.unknown == ()


def test_macs_equal_those_that_fvcore_counts() -> None:
    torch = pytest.importorskip("torch")
    analysis = pytest.importorskip("fvcore.nn")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 3, stride=2, padding=1),
        torch.nn.Conv2d(12, 12, 5, padding=2, groups=12),
        torch.nn.Conv2d(12, 20, 1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(20, 7),
    ).eval()
    counted = analysis.FlopCountAnalysis(net, torch.zeros(1, 3, 17, 17)).unsupported_ops_warnings(False).by_operator()
    ours = [  # 17x17 at stride 2 with padding 1 is 9x9
        OpSpec(
            "conv",
            "Conv",
            (TensorSpec("x", (1, 17, 17, 3)),),
            TensorSpec("a", (1, 9, 9, 12)),
            (3, 3),
            (2, 2),
            weights=324,
            biases=12,
        ),
        OpSpec(
            "depthwise_conv",
            "Conv",
            (TensorSpec("a", (1, 9, 9, 12)),),
            TensorSpec("b", (1, 9, 9, 12)),
            (5, 5),
            weights=300,
            biases=12,
        ),
        OpSpec(
            "conv", "Conv", (TensorSpec("b", (1, 9, 9, 12)),), TensorSpec("c", (1, 9, 9, 20)), weights=240, biases=20
        ),
        OpSpec("fully_connected", "Gemm", (TensorSpec("p", (1, 20)),), TensorSpec("l", (1, 7)), weights=140, biases=7),
    ]
    assert sum(macs(op) for op in ours[:3]) == counted["conv"]
    assert macs(ours[3]) == counted["linear"]
    assert sum(params(op) for op in ours) == sum(p.numel() for p in net.parameters())


def test_flash_is_the_file_where_there_is_one_and_else_holds_at_least_its_data() -> None:
    profile = load_profile("cortex-m4", TFLM)
    assert footprint(small_net(), profile, file_bytes=5000).flash_bytes == 5000
    # 368 int8 weights, 26 biases of 4 bytes, 26 scales of 4 bytes
    assert footprint(small_net(), profile).flash_bytes > 368 + 104 + 104


def test_float_weights_take_four_bytes_in_flash() -> None:
    x, y = TensorSpec("x", (1, 1000), 4), TensorSpec("y", (1, 1000), 4)
    int8, float32 = (
        [OpSpec("fully_connected", "FULLY_CONNECTED", (x,), y, weights=1_000_000, weight_itemsize=size)]
        for size in (1, 4)
    )
    profile = load_profile("cortex-m7", TFLM)
    assert footprint(float32, profile).flash_bytes - footprint(int8, profile).flash_bytes == 3_000_000


def test_sram_of_tflite_micro_is_the_arena_and_a_state_that_grows_by_8_bytes_per_channel() -> None:
    profile, ops = load_profile("cortex-m4", TFLM), small_net()
    wide = [replace(op, channel_scales=op.channel_scales + 100) for op in ops[:1]]
    assert footprint([*wide, *ops[1:]], profile).sram_bytes - footprint(ops, profile).sram_bytes == 800
    assert footprint(ops, profile).sram_bytes > plan_memory(ops).peak_bytes


def test_the_state_of_tflite_micro_is_what_was_measured_for_resnet8() -> None:
    # On a Cortex-M7 ResNet8 (16 operators, 346 output channels) used 54,340 bytes, 49,152 of them the arena: 5,188.
    x, y = TensorSpec("x", (1, 1, 1, 16)), TensorSpec("y", (1, 1, 1, 16))
    ops = [OpSpec("conv", "CONV_2D", (x,), y, channel_scales=346)]
    for i in range(15):
        ops.append(OpSpec("add", "ADD", (ops[-1].output,), TensorSpec(f"y{i}", (1, 16))))
    state = footprint(ops, load_profile("cortex-m7", TFLM)).sram_bytes - plan_memory(ops).peak_bytes
    assert state == pytest.approx(5188, rel=0.02)  # the split between operators and the rest is a model
    assert state >= 5188


def test_another_runtime_is_named_and_costs_another_sram() -> None:
    tflm = footprint(small_net(), load_profile("cortex-m4", TFLM))
    litert = footprint(small_net(), load_profile("raspberry-pi-4"))
    assert litert.runtime == "litert"
    assert litert.sram_bytes > tflm.sram_bytes


def test_an_operator_of_unknown_cost_is_named_and_the_rest_is_counted() -> None:
    x = TensorSpec("image", (1, 8, 8, 3))
    strange = OpSpec("unknown", "EINSUM", (x,), TensorSpec("e", x.shape))
    cost = footprint([strange, *small_net()], load_profile("cortex-m4"))
    assert cost.unknown == ("EINSUM",)
    assert cost.macs == 4688


def test_a_violation_says_what_is_needed_and_what_there_is() -> None:
    profile = load_profile("cortex-m4", {"budget.params": "300", "budget.macs": "4687"})
    over = violations(footprint(small_net(), profile), profile.budget)
    assert [(v.resource, v.needs, v.has) for v in over] == [("params", 394, 300), ("macs", 4688, 4687)]


def test_a_budget_that_is_met_exactly_is_met() -> None:
    profile = load_profile("cortex-m4", {"budget.params": "394", "budget.macs": "4688"})
    assert violations(footprint(small_net(), profile), profile.budget) == ()
    assert excess(footprint(small_net(), profile), profile.budget)["macs"] == 0


def test_latency_is_judged_by_the_middle_of_the_interval() -> None:
    profile = load_profile("cortex-m4")
    interval = footprint(small_net(), profile).latency_ms
    between_low_and_mid = f"{(interval.low + interval.mid) / 2:.9f} ms"
    between_mid_and_high = f"{(interval.mid + interval.high) / 2:.9f} ms"
    strict = load_profile("cortex-m4", {"budget.latency_ms": between_low_and_mid}).budget
    loose = load_profile("cortex-m4", {"budget.latency_ms": between_mid_and_high}).budget
    cost = footprint(small_net(), profile)
    assert [v.resource for v in violations(cost, strict)] == ["latency_ms"]
    assert violations(cost, loose) == ()


def test_each_operator_has_a_row_and_one_of_them_is_the_peak() -> None:
    rows = op_costs(small_net(), plan_for(small_net(), load_profile("cortex-m7", TFLM), "tflm"))
    assert [row.name for row in rows] == ["a", "b", "pool", "logits"]
    assert [row.op for row in rows] == ["CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "FULLY_CONNECTED"]
    # image 192 + a 128; a 128 + b 128; b 128 + pool 16 (8 aligned); pool 16 + logits 16 (10 aligned)
    assert [row.live_bytes for row in rows] == [320, 256, 144, 32]
    assert [row.peak for row in rows] == [True, False, False, False]
    assert (sum(row.macs for row in rows), sum(row.params for row in rows)) == (4688, 394)


def test_an_operator_that_reads_nothing_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=re.escape("CONV_2D 'y' reads no activation tensor")):
        OpSpec("conv", "CONV_2D", (), TensorSpec("y", (1, 1)))


@pytest.mark.parametrize("core", FIRMWARE_CORES)
def test_the_firmwares_latency_is_its_instructions_times_the_cores_cycles_per_instruction(core: str) -> None:
    profile, per = load_profile(core), CYCLES_PER_INSTRUCTION[core]
    counted = predicted_instructions(profile, small_net(), plan_for(small_net(), profile, "firmware"))
    assert counted is not None
    ms = footprint(small_net(), profile).latency_ms
    kilohertz = profile.clock_hz / 1000
    assert ms.low == pytest.approx(counted * per.low / kilohertz, rel=1e-3)  # instructions are rounded
    assert ms.high == pytest.approx(counted * per.high / kilohertz, rel=1e-3)
    assert ms.mid == pytest.approx((ms.low * ms.high) ** 0.5)
    assert 1.1 * ms.low < ms.high < 2.5 * ms.low
    assert len(per.source) > 20


def test_cycles_per_instruction_hold_what_resnet8_with_cmsis_nn_takes_on_the_cores_of_published_results(
    mlperf_tiny_results: list[dict[str, str]],
) -> None:
    counted = 29.78e6  # TFLite Micro with CMSIS-NN on an emulated Cortex-M4, see docs/firmware.md
    found = 0
    for row in mlperf_tiny_results:
        if (row["kernels"], row["model"]) == ("cmsis-nn", "ic") and row["core"] in ("cortex-m4", "cortex-m33"):
            per = CYCLES_PER_INSTRUCTION[row["core"]]
            assert per.low <= int(row["clock_mhz"]) * 1e6 / float(row["inferences_per_second"]) / counted <= per.high
            found += 1
    assert found == 8
