"""What the firmware makes of a network: steps, buffers written in place, scratch."""

from __future__ import annotations

import pytest

from hardware_profiles.cores import instruction_set
from hardware_profiles.cost.ops import OpKind, OpSpec, TensorSpec
from hardware_profiles.firmware.flash import firmware_flash
from hardware_profiles.firmware.kernels import scratch_bytes
from hardware_profiles.firmware.plan import plan_firmware
from hardware_profiles.footprint import footprint
from hardware_profiles.profile import load_profile


def tensor(name: str, channels: int = 16, side: int = 8) -> TensorSpec:
    return TensorSpec(name, (1, side, side, channels))


def op(kind: OpKind, inputs: str, output: str, kernel: int = 1, side: int = 8, channels: int = 16) -> OpSpec:
    reads = tuple(tensor(name, channels, side) for name in inputs)
    return OpSpec(kind, kind.upper(), reads, tensor(output, channels, side), kernel_hw=(kernel, kernel))


RESIDUAL = (op("conv", "x", "a", 3), op("conv", "a", "b", 3), op("add", "xb", "y"), op("conv", "y", "z"))


def test_a_convolution_adds_over_the_other_summand() -> None:
    plan = plan_firmware(RESIDUAL, "scalar")
    assert [(step.op, step.add, step.output) for step in plan.steps] == [(0, None, "a"), (1, 2, "y"), (3, None, "z")]
    assert plan.offset("y") == plan.offset("x") != plan.offset("a")
    # x and a alive, and two gathered windows of 3 x 3 x 16
    assert plan.memory.peak_bytes == 2 * 1024 + 288


def test_a_summand_that_is_read_again_is_not_written_over() -> None:
    ops = (*RESIDUAL[:3], op("add", "xy", "z"))
    plan = plan_firmware(ops, "scalar")
    assert plan.offset("y") != plan.offset("x")


def test_a_summand_that_is_read_between_convolution_and_add_is_not_written_over() -> None:
    ops = (op("conv", "x", "a"), op("conv", "a", "b"), op("conv", "x", "c"), op("add", "xb", "y"), op("add", "yc", "z"))
    plan = plan_firmware(ops, "scalar")
    assert plan.steps[1].add == 3
    assert plan.offset("y") != plan.offset("x")


def test_a_convolution_does_not_add_over_its_own_input() -> None:
    plan = plan_firmware((op("conv", "x", "a"), op("add", "xa", "y")), "scalar")
    assert plan.steps[0].add == 1
    assert plan.offset("y") != plan.offset("x")


def test_depthwise_of_stride_one_is_written_over_its_input_but_on_helium() -> None:
    ops = (op("conv", "x", "a"), op("depthwise_conv", "a", "b", 3), op("conv", "b", "y"))
    for kernels in ("scalar", "dsp"):
        assert plan_firmware(ops, kernels).offset("b") == plan_firmware(ops, kernels).offset("a")
    assert plan_firmware(ops, "mve").offset("b") != plan_firmware(ops, "mve").offset("a")


def test_operators_are_charged_the_bytes_alive_in_the_step_that_does_them() -> None:
    ops = (*RESIDUAL, op("reshape", "z", "r"), op("activation", "r", "s"))
    # x and a; the same while b is added over x; y and z; z written over by its table. Each 3 x 3 gathers two windows.
    assert plan_firmware(ops, "scalar").live_bytes(len(ops)) == (2336, 2336, 2336, 2048, 0, 1024)


def test_reshape_is_no_step() -> None:
    ops = (op("conv", "x", "a"), op("reshape", "a", "b"), op("conv", "b", "y"))
    plan = plan_firmware(ops, "scalar")
    assert [step.op for step in plan.steps] == [0, 2]
    assert plan.offset("b") == plan.offset("a")


def test_an_early_output_stays_alive_to_the_end() -> None:
    ops = (op("conv", "x", "a"), op("activation", "a", "early"), op("conv", "x", "b"), op("conv", "b", "y"))
    plan = plan_firmware(ops, "scalar")
    later = {plan.offset(name) for name in ("b", "y")}
    assert plan.offset("early") not in later


def test_scratch_by_instruction_set() -> None:
    conv = op("conv", "x", "y", 3)  # 144 steps
    assert scratch_bytes(conv, "scalar") == 2 * 144  # two windows of bytes
    assert scratch_bytes(conv, "dsp") == 4 * 144 * 2  # four columns of int16
    assert scratch_bytes(conv, "mve") == 3 * 144 + 3 * 16 * 4  # three windows, and their sums
    assert scratch_bytes(op("conv", "x", "y"), "scalar") == 0
    depthwise = op("depthwise_conv", "x", "y", 3)
    assert scratch_bytes(depthwise, "scalar") == 10 * 10  # one padded plane
    assert scratch_bytes(depthwise, "mve") == 10 * 10
    assert scratch_bytes(depthwise, "dsp") == 2 * 10 * 10 * 2 + 4 * 8  # two of int16, and a row of sums


@pytest.mark.parametrize(
    ("core", "features", "kernels"),
    [
        ("cortex-m0plus", (), "scalar"),
        ("cortex-m33", (), "scalar"),
        ("cortex-m33", ("dsp",), "dsp"),
        ("cortex-m55", ("dsp", "mve"), "mve"),
        ("cortex-a72", ("neon",), None),
    ],
)
def test_kernels_follow_from_what_the_chip_has(core: str, features: tuple[str, ...], kernels: str | None) -> None:
    assert instruction_set(core, features) == kernels


def test_the_footprint_of_the_firmware_is_its_plan() -> None:
    cost = footprint(RESIDUAL, load_profile("cortex-m7"), runtime="firmware", file_bytes=123_456)
    plan = plan_firmware(RESIDUAL, "dsp")
    assert cost.sram_bytes == plan.memory.peak_bytes
    assert cost.flash_bytes == firmware_flash(RESIDUAL, plan, "cortex-m7", "dsp").total
    with pytest.raises(ValueError, match="does not run on cortex-a72"):
        footprint(RESIDUAL, load_profile("raspberry-pi-4"), runtime="firmware")
