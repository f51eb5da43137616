"""Dead channels: by hand, and on random networks bit for bit on three runtimes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dead_nets import dead_net
from hand_made import HandMade

from export.check import check_graph
from export.graph import Graph, QParams
from export.ops.interpreter import Interpreter
from export.passes.constant_channels import plain_constants
from export.passes.dead_channels import without_dead_channels
from export.read_tflite import read_tflite
from export.run.tflite_runtimes import Runtime, load_tracer, tflm_installed
from export.write.edit_tflite import edit_tflite
from export.write.to_tflite import to_tflite


def removed(graph: Graph) -> dict[str, list[int]]:
    """Removed channels by tensor, after checking that the graph still computes the same."""
    shrunk = without_dead_channels(graph)
    check_graph(shrunk.graph)
    x = np.random.default_rng(0).integers(-128, 128, (20, *graph.tensor(graph.inputs[0]).shape[1:])).astype(np.int8)
    np.testing.assert_array_equal(Interpreter(graph).run(x), Interpreter(shrunk.graph).run(x))
    found: dict[str, list[int]] = {}
    for dead in shrunk.removed:
        found.setdefault(dead.tensor, []).append(dead.channel)
    return found


def data(graph: Graph, node: int, index: int) -> Any:
    tensor = graph.tensor(graph.nodes[node].inputs[index])
    assert tensor.data is not None
    return tensor.data


def scales(graph: Graph, node: int) -> list[float]:
    qparams = graph.tensor(graph.nodes[node].inputs[1]).qparams
    assert qparams is not None
    return [float(scale) for scale in qparams.scale]


def test_a_constant_goes_into_the_bias_of_what_reads_it() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 1))
    hidden = net.pointwise(x, [[1], [0], [2]], [0, 5, 0], zero=1, factors=[1 / 8, 1, 1 / 4])
    y = net.pointwise(hidden, [[1, 3, 2], [1, -7, 2]], [10, 20], factors=[1 / 2, 1 / 4])
    graph = net.graph(x, y)
    assert removed(graph) == {hidden: [1]}
    small = without_dead_channels(graph).graph
    # the constant is 5 + 1, five above the zero point
    assert data(small, 1, 2).tolist() == [10 + 3 * 5, 20 - 7 * 5]
    assert data(small, 1, 1)[:, 0, 0].tolist() == [[1, 2], [1, 2]]
    assert data(small, 0, 1)[:, 0, 0].tolist() == [[1], [2]]
    assert scales(small, 0) == [1 / 8, 1 / 4]
    assert small.tensor(hidden).shape == (1, 2, 2, 2)


def test_a_channel_is_told_with_its_sums_and_its_readers() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 1))
    hidden = net.pointwise(x, [[1], [1], [1]], [0, 2000, 0], factors=1 / 8)
    y = net.pointwise(hidden, [[1, 3, 0]], [-381])
    saturated, unread = without_dead_channels(net.graph(x, y)).removed
    assert saturated.reason == "constant"
    assert (saturated.channel, saturated.low, saturated.high) == (1, 127, 127)
    assert (saturated.sums, saturated.factor) == ((2000 - 128, 2000 + 127), 1 / 8)
    assert unread.reason == "unread"
    assert (unread.channel, unread.low, unread.high) == (2, -16, 16)
    assert unread.node == "CONV_2D 0"
    assert unread.readers == ("CONV_2D 1",)


def test_a_padded_window_keeps_a_constant_unless_it_is_the_zero_point() -> None:
    net = HandMade()
    x = net.activation((1, 3, 3, 1))
    hidden = net.pointwise(x, [[1], [0], [0]], [0, 0, 5], zero=1, factors=1 / 8)
    y = net.activation((1, 3, 3, 1))
    net.layer("CONV_2D", hidden, y, np.ones((1, 3, 3, 3)), [0], 1 / 16, padding="SAME")
    assert removed(net.graph(x, y)) == {hidden: [1]}


def test_a_padded_window_that_never_leaves_the_map_with_a_weight_keeps_nothing() -> None:
    net = HandMade()
    x = net.activation((1, 3, 3, 1))
    hidden = net.pointwise(x, [[1], [0]], [0, 40], factors=1 / 8)
    y = net.activation((1, 3, 3, 1))
    weights = np.ones((1, 3, 3, 2))
    weights[0, :, :, 1] = [[0, 0, 0], [0, 3, 0], [0, 0, 0]]
    net.layer("CONV_2D", hidden, y, weights, [0], 1 / 16, padding="SAME")
    assert removed(net.graph(x, y)) == {hidden: [1]}


def test_channels_of_the_output_and_of_the_input_stay() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 3))
    y = net.pointwise(x, [[0, 0, 0], [1, 0, 0]], [5, 0])
    assert removed(net.graph(x, y)) == {}


def test_a_softmax_keeps_what_it_reads() -> None:
    net = HandMade()
    x = net.activation((1, 4))
    hidden = net.layer("FULLY_CONNECTED", x, net.activation((1, 2)), [[1, 0, 0, 0], [0, 0, 0, 0]], [0, 9])
    y = net.node("SOFTMAX", (hidden,), net.activation((1, 2), -128, 1 / 256))
    assert removed(net.graph(x, y)) == {}


def test_nothing_dead_is_the_graph_itself() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 2))
    graph = net.graph(x, net.pointwise(x, [[1, 2]], [0]))
    assert without_dead_channels(graph).graph is graph


def residual(dead_left: bool, dead_right: bool) -> tuple[Graph, str, str, str]:
    net = HandMade()
    x = net.activation((1, 2, 2, 2))
    live = [[1, 1], [1, -1]]
    left = net.pointwise(x, [live[0], [0, 0] if dead_left else live[1]], [0, 24 * dead_left], factors=1 / 8)
    right = net.pointwise(x, [live[1], [0, 0] if dead_right else live[0]], [0, 32 * dead_right], factors=1 / 8)
    total = net.node("ADD", (left, right), net.activation((1, 2, 2, 2)))
    y = net.pointwise(total, [[1, 1]], [0], factors=1 / 2)
    return net.graph(x, y), left, right, total


def test_a_residual_sum_loses_a_channel_that_is_constant_in_both_branches() -> None:
    graph, left, right, total = residual(dead_left=True, dead_right=True)
    assert removed(graph) == {left: [1], right: [1], total: [1]}


@pytest.mark.parametrize(("dead_left", "dead_right"), [(True, False), (False, True)])
def test_a_residual_sum_keeps_a_channel_that_lives_in_one_branch(dead_left: bool, dead_right: bool) -> None:
    graph, *_ = residual(dead_left, dead_right)
    assert removed(graph) == {}


def test_what_another_branch_needs_stays_in_both() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 2))
    shared = net.pointwise(x, [[1, 1], [1, -1]], [0, 0], factors=1 / 8)
    left = net.pointwise(shared, [[1, 0]], [0])  # reads the first channel alone
    deep = net.layer("DEPTHWISE_CONV_2D", shared, net.activation((1, 2, 2, 2)), np.ones((1, 1, 1, 2)), [0, 0])
    right = net.pointwise(deep, [[0, 1]], [0])  # the second alone
    y = net.node("ADD", (left, right), net.activation((1, 2, 2, 1)))
    assert removed(net.graph(x, y)) == {}


def test_a_layer_without_a_living_channel_keeps_one() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 2))
    first = net.pointwise(x, [[1, 1], [1, -1], [2, 1]], [0, 0, 0], factors=1 / 8)
    constant = net.pointwise(first, [[0, 0, 0], [0, 0, 0]], [7, 8])
    y = net.pointwise(constant, [[1, 1], [1, 2]], [0, 0])
    assert removed(net.graph(x, y)) == {first: [1, 2], constant: [1]}


def test_a_constant_that_must_stay_reads_nothing() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 2))
    hidden = net.pointwise(x, [[1, 0], [0, 1]], [0, 0], factors=1 / 8)
    y = net.pointwise(hidden, [[1, 0], [1, 3]], [0, 10_000])  # the second output saturates
    graph = net.graph(x, y)
    assert removed(graph) == {hidden: [1]}
    small = without_dead_channels(graph).graph
    assert data(small, 1, 1)[:, 0, 0].tolist() == [[1], [0]]
    assert data(small, 1, 2).tolist() == [0, 10_000 - 16 - 3 * 16]  # a sum that it could have had


def test_weights_of_one_scale_keep_it() -> None:
    net = HandMade()
    x = net.activation((1, 4))
    hidden = net.layer("FULLY_CONNECTED", x, net.activation((1, 2)), [[0, 0, 0, 0], [1, 1, 1, 1]], [7, 0], 1 / 8)
    y = net.layer("FULLY_CONNECTED", hidden, net.activation((1, 2)), [[1, 1], [2, 1]], [0, 0], 1 / 2)
    graph = net.graph(x, y)
    assert removed(graph) == {hidden: [0]}
    assert scales(without_dead_channels(graph).graph, 0) == [1 / 8]


def test_a_depthwise_channel_goes_with_all_that_are_made_of_it() -> None:
    net = HandMade()
    x = net.activation((1, 3, 3, 3))
    hidden = net.pointwise(x, [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 0, 0])
    weights = np.ones((1, 1, 1, 6))
    twice = net.layer("DEPTHWISE_CONV_2D", hidden, net.activation((1, 3, 3, 6)), weights, [0] * 6, depth_multiplier=2)
    y = net.pointwise(twice, [[1, 0, 0, 0, 1, 1]], [0])  # of the first two one is read, of the next two none
    assert removed(net.graph(x, y)) == {hidden: [1], twice: [2, 3]}


def test_a_flattened_map_loses_a_channel_at_every_position() -> None:
    net = HandMade()
    x = net.activation((1, 1, 2, 2))
    hidden = net.pointwise(x, [[1, 0], [0, 0], [0, 1]], [0, 9, 0])
    row = net.activation((1, 6))
    net.node("RESHAPE", (hidden, net.constant([-1, 6], "int32")), row)
    y = net.layer("FULLY_CONNECTED", row, net.activation((1, 1)), [[1, 2, 3, 4, 5, 6]], [100], 1 / 8)
    graph = net.graph(x, y)
    assert removed(graph) == {hidden: [1], row: [1, 4]}
    small = without_dead_channels(graph).graph
    assert data(small, 1, 1).tolist() == [-1, 4]
    assert data(small, 2, 1).tolist() == [[1, 3, 4, 6]]
    assert data(small, 2, 2).tolist() == [100 + 2 * 9 + 5 * 9]


def test_a_row_that_is_part_of_a_maps_channels_keeps_them() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 4))
    hidden = net.pointwise(x, [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], [0, 9, 0, 9])
    y = net.layer("FULLY_CONNECTED", hidden, net.activation((2, 3)), [[1, 2]] * 3, [0, 0, 0])
    assert without_dead_channels(net.graph(x, y)).removed == ()


def test_a_bias_that_would_leave_int32_takes_nothing_over() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 1))
    hidden = net.pointwise(x, [[1], [0]], [0, 100])
    y = net.pointwise(hidden, [[-1, 100]], [2**31 - 1000], factors=1e-9)
    assert removed(net.graph(x, y)) == {}


def test_a_layer_without_bias_takes_over_no_constant_but_the_zero_point() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 1))
    hidden = net.pointwise(x, [[1], [0], [0]], [0, 4, 0], zero=2)
    y = net.pointwise(hidden, [[1, 2, 3]], None, factors=1 / 8)
    assert removed(net.graph(x, y)) == {hidden: [2]}


def test_weights_that_two_layers_share_stay() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 2))
    a = net.pointwise(x, [[1, 0], [0, 0]], [0, 5])
    y = net.pointwise(a, [[1, 1], [1, 2]], [0, 0])
    first, second = net.nodes
    net.nodes[1] = replace(second, inputs=(a, first.inputs[1], second.inputs[2]))
    assert removed(net.graph(x, y)) == {}


def test_layers_of_one_name_are_told_apart() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 2))
    a = net.pointwise(x, [[1, 0], [0, 0]], [0, 8], factors=1 / 8)
    b = net.pointwise(a, [[1, 1], [0, 0]], [0, 8], factors=1 / 2)
    y = net.pointwise(b, [[1, 1]], [0], factors=1 / 2)
    net.nodes[:] = [replace(node, name="conv") for node in net.nodes]
    graph = net.graph(x, y)
    assert removed(graph) == {a: [1], b: [1]}
    plain = plain_constants(graph)
    inputs = np.arange(-8, 8, dtype=np.int8).reshape(2, 2, 2, 2)
    np.testing.assert_array_equal(Interpreter(plain).run(inputs), Interpreter(graph).run(inputs))


def test_scales_of_a_bias_that_are_not_one_per_channel_stay() -> None:
    net = HandMade()
    x = net.activation((1, 2, 2, 2))
    hidden = net.pointwise(x, [[1, 0], [0, 0], [0, 1]], [0, 8, 0], factors=[1 / 8] * 3)
    y = net.pointwise(hidden, [[1, 1, 1]], [0], factors=1 / 2)
    bias = net.nodes[0].inputs[2]
    net.tensors[bias] = replace(
        net.tensors[bias], qparams=QParams(np.full(3, 1 / 8, np.float32), np.zeros(1, np.int64))
    )
    graph = net.graph(x, y)
    assert removed(graph) == {hidden: [1]}
    qparams = without_dead_channels(graph).graph.tensor(bias).qparams
    assert qparams is not None
    assert (len(qparams.scale), len(qparams.zero_point)) == (2, 1)


RUNTIMES: tuple[Runtime, ...] = ("tflm", "litert-reference")


def test_random_networks_compute_the_same_at_every_operator_and_on_every_runtime() -> None:
    channels = alive = 0
    for seed in range(120):
        content = to_tflite(dead_net(np.random.default_rng([seed, 9])))
        graph = read_tflite(content)
        shrunk = without_dead_channels(graph)
        small = edit_tflite(content, graph, shrunk.graph)
        x = np.random.default_rng(seed).integers(-128, 128, (6, *graph.tensor(graph.inputs[0]).shape[1:]))
        inputs = np.concatenate([np.full_like(x[:2], -128), np.full_like(x[:1], 127), x]).astype(np.int8)
        before, after = (Interpreter(g).trace(inputs) for g in (graph, read_tflite(small)))
        for (node, a), (_, b) in zip(before, after, strict=True):
            np.testing.assert_array_equal(a[..., shrunk.kept[node.outputs[0]]], b, f"seed {seed}, {node.name}")
        for runtime in RUNTIMES:
            if runtime != "tflm" or tflm_installed():
                a, b = (load_tracer(file, runtime)(inputs)[0] for file in (content, small))
                np.testing.assert_array_equal(a, b, f"seed {seed}, {runtime}")
        assert without_dead_channels(read_tflite(small)).removed == ()
        channels += len(shrunk.removed) + sum(map(len, shrunk.kept.values()))
        alive += sum(map(len, shrunk.kept.values()))
    assert 0.3 < alive / channels < 0.8
