"""Instructions of the firmware: predicted from the operators, against those that emulated cores counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from hardware_profiles.cores import FIRMWARE_CORES, InstructionSet
from hardware_profiles.cost.ops import OpKind, OpSpec, TensorSpec
from hardware_profiles.firmware.instructions import instructions
from hardware_profiles.firmware.plan import plan_firmware

KERNELS: dict[str, InstructionSet] = dict.fromkeys(FIRMWARE_CORES, "dsp") | {
    "cortex-m0plus": "scalar",
    "cortex-m3": "scalar",
    "cortex-m55": "mve",
}
HELD_OUT = json.loads(
    (Path(__file__).parent / "firmware_instructions.json").read_text()
)  # research.instruction_weights


def predicted(ops: Sequence[OpSpec], core: str, kernels: InstructionSet) -> int:
    return round(sum(instructions(ops, plan_firmware(ops, kernels), core, kernels)))


@pytest.mark.parametrize("core", FIRMWARE_CORES)
def test_twenty_subnets_that_the_fit_has_not_seen_are_predicted_within_five_percent(core: str) -> None:
    errors = []
    for row in HELD_OUT:
        if core not in row["instructions"]:  # larger than the board that emulates the core
            continue
        space = mcu_space(10, 32, "hard_swish" if row["seed"] % 5 == 4 else "relu6", entry_residuals=True)
        ops = lower(space, space.sample_by_size(np.random.default_rng(row["seed"])))
        errors.append(abs(predicted(ops, core, KERNELS[core]) / row["instructions"][core] - 1))
    assert len(errors) >= 20
    assert np.median(errors) < 0.05
    assert max(errors) < 0.10


def test_a_pointwise_convolution_is_priced_by_blocks_of_four_pixels_and_pairs_of_channels() -> None:
    def conv(pixels: int, channels: int) -> list[OpSpec]:
        x, y = TensorSpec("x", (1, 1, pixels, 16)), TensorSpec("y", (1, 1, pixels, channels))
        return [OpSpec("conv", "CONV_2D", (x,), y, weights=16 * channels, biases=channels, channel_scales=channels)]

    one, four, five = (predicted(conv(pixels, 8), "cortex-m7", "dsp") for pixels in (1, 4, 5))
    assert five - four > 0.3 * four  # a fifth pixel begins a block of its own
    assert four < 4 * one


def test_an_operator_of_unknown_kind_counts_nothing() -> None:
    x, y = TensorSpec("x", (1, 4)), TensorSpec("y", (1, 4))
    assert predicted([OpSpec("unknown", "EINSUM", (x,), y)], "cortex-m7", "dsp") == 0


def test_a_requantization_is_a_table_as_an_activation_is() -> None:
    x, y = TensorSpec("x", (1, 8, 8, 16)), TensorSpec("y", (1, 8, 8, 16))
    requantize, relu = OpSpec("quantize", "QUANTIZE", (x,), y), OpSpec("activation", "RELU", (x,), y)
    found = predicted([requantize], "cortex-m7", "dsp")
    assert found == predicted([relu], "cortex-m7", "dsp") > 1024


@pytest.mark.parametrize(
    ("kind", "kernel", "dilation", "weights", "counted"),
    [
        ("conv", (3, 3), (2, 2), 9 * 16 * 16, 2_041_880),  # QEMU 7.2, mps2-an500
        ("depthwise_conv", (3, 5), (1, 1), 15 * 16, 357_200),
    ],
)
def test_a_layer_of_an_unusual_window_counts_what_its_own_kernel_takes(
    kind: OpKind, kernel: tuple[int, int], dilation: tuple[int, int], weights: int, counted: int
) -> None:
    x, y = TensorSpec("x", (1, 16, 16, 16)), TensorSpec("y", (1, 16, 16, 16))
    op = OpSpec(kind, kind, (x,), y, kernel, weights=weights, biases=16, channel_scales=16, dilation_hw=dilation)
    assert predicted([op], "cortex-m7", "dsp") == pytest.approx(counted, rel=0.02)
