"""Constants said plainly: the same outputs, and numbers that fast kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dead_nets import dead_net
from hand_made import HandMade

from export.ops.interpreter import Interpreter
from export.passes.constant_channels import plain_constants
from export.write.to_c import to_c
from export.write.to_tflite import to_tflite
from hardware_profiles.cores import InstructionSet


def test_a_channel_of_zeros_with_a_tiny_scale_gets_a_factor_of_a_256th() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 1))
    y = net.pointwise(x, [[0], [1]], [2**30, 7], zero=-5, factors=[2**-24, 1 / 8])
    plain = plain_constants(net.graph(x, y))
    weights, bias = (plain.tensor(name) for name in plain.nodes[0].inputs[1:])
    # 2^30 / 2^24 = 64, at the zero point -5: the output is 59
    assert bias.data is not None
    assert weights.qparams is not None
    assert bias.data.tolist() == [64 * 256, 7]
    assert weights.qparams.scale.tolist() == [1 / 256, 1 / 8]


def test_what_saturates_for_every_input_reads_nothing() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 1))
    y = net.pointwise(x, [[1]], [5000], factors=1 / 16)
    plain = plain_constants(net.graph(x, y))
    weights, bias = (plain.tensor(name).data for name in plain.nodes[0].inputs[1:])
    assert weights is not None
    assert bias is not None
    assert not weights.any()
    assert bias.tolist() == [127 * 256]


@pytest.mark.parametrize("ratio", [1e-30, 1e-10, 1e10])
def test_scales_of_any_ratio_give_the_same_constant(ratio: float) -> None:
    net = HandMade()
    x, y = net.activation((1, 1, 1, 1), scale=ratio**0.5), net.activation((1, 1, 1, 1), scale=ratio**-0.5)
    net.layer("CONV_2D", x, y, [[[[0]]]], [1000], factors=1e-7)
    graph = net.graph(x, y)
    inputs = np.zeros((1, 1, 1, 1), np.int8)
    np.testing.assert_array_equal(Interpreter(plain_constants(graph)).run(inputs), Interpreter(graph).run(inputs))


def test_a_factor_that_no_device_has_is_left_alone() -> None:
    net = HandMade()
    x, y = net.activation((1, 1, 1, 1), scale=1e15), net.activation((1, 1, 1, 1), scale=1e-15)
    net.layer("CONV_2D", x, y, [[[[0]]]], [1000], factors=1e-7)
    (plain,) = plain_constants(net.graph(x, y)).nodes
    assert plain_constants(net.graph(x, y)).tensor(plain.inputs[2]).data == [1000]


def test_random_networks_compute_the_same() -> None:
    for seed in range(60):
        graph = dead_net(np.random.default_rng([seed, 4]))
        x = (
            np.random.default_rng(seed)
            .integers(-128, 128, (6, *graph.tensor(graph.inputs[0]).shape[1:]))
            .astype(np.int8)
        )
        x[0], x[1] = -128, 127
        pairs = zip(Interpreter(graph).trace(x), Interpreter(plain_constants(graph)).trace(x), strict=True)
        for (node, before), (_, after) in pairs:
            np.testing.assert_array_equal(before, after, f"seed {seed}, {node.name}")


@pytest.mark.parametrize(
    ("instruction_set", "kernels"),
    [
        ("dsp", ["nn_conv_dsp", "nn_depthwise_3x3_dsp"]),
        ("mve", ["nn_conv_mve", "nn_depthwise_mve"]),
        ("host", ["nn_conv_host", "nn_depthwise_host"]),
    ],
)
def test_one_channel_without_weights_leaves_its_layer_on_the_fast_kernel(
    instruction_set: InstructionSet, kernels: list[str]
) -> None:
    net = HandMade()
    x = net.activation((1, 5, 5, 2))
    hidden = net.pointwise(x, [[3, 4], [0, 0]], [10, -(2**30)], factors=[1 / 8, 1e-9])
    y: Any = net.activation((1, 5, 5, 2))
    weights = np.stack([np.ones((1, 3, 3)), np.zeros((1, 3, 3))], 3)
    net.layer("DEPTHWISE_CONV_2D", hidden, y, weights, [5, 2**29], [1 / 16, 1e-9], padding="SAME")
    sources = to_c(to_tflite(net.graph(x, y)), instruction_set, version="test")
    assert [layer.kernel.function for layer in sources.layers] == kernels
