"""Ranges of channels: by hand, and against what random networks compute."""

from __future__ import annotations

import numpy as np
from dead_nets import dead_net
from hand_made import HandMade

from export.ops.interpreter import Interpreter
from export.passes.ranges import channel_ranges


def span(net: HandMade, x: str, y: str) -> list[tuple[int, int]]:
    found = channel_ranges(net.graph(x, y))[y]
    return list(zip(found.low.tolist(), found.high.tolist(), strict=True))


def test_a_sum_is_least_where_each_input_is_at_the_end_that_its_weight_asks_for() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 2))
    y = net.pointwise(x, [[2, -1]], [10], factors=1 / 8)
    # 10 + 2 * -128 - 127 = -373 and 10 + 2 * 127 + 128 = 392; an eighth is -46.6 and 49
    assert span(net, x, y) == [(-47, 49)]


def test_the_range_of_a_layer_starts_from_the_range_of_its_input() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 1))
    positive = net.pointwise(x, [[1]], [0], activation="RELU")  # 0 to 127
    y = net.pointwise(positive, [[1]], [-27], factors=1 / 4)
    assert span(net, x, y) == [(-7, 25)]  # -27 / 4 and 100 / 4


def test_a_padded_window_may_see_the_zero_point() -> None:
    net = HandMade()
    x = net.activation((1, 3, 3, 1))
    five = net.pointwise(x, [[0]], [5])
    valid, same = net.activation((1, 1, 1, 1)), net.activation((1, 3, 3, 1))
    ones = np.ones((1, 3, 3, 1))
    net.layer("CONV_2D", five, valid, ones, [0])
    net.layer("CONV_2D", five, same, ones, [0], padding="SAME")
    ranges = channel_ranges(net.graph(x, valid, same))
    assert (ranges[valid].low.tolist(), ranges[valid].high.tolist()) == ([45], [45])
    # the middle tap sees the map always, the others padding somewhere: 5 to 9 * 5
    assert (ranges[same].low.tolist(), ranges[same].high.tolist()) == ([5], [45])


def test_a_tap_that_never_sees_the_map_adds_nothing() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 1))
    five = net.pointwise(x, [[0]], [5])
    y = net.activation((1, 1, 1, 1))
    net.layer("CONV_2D", five, y, np.full((1, 3, 3, 1), 2), [1], padding="SAME")
    assert span(net, x, y) == [(11, 11)]  # 2 * 5 + 1


def test_a_sum_that_runtimes_round_differently_is_no_constant() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 1))
    y = net.pointwise(x, [[0], [0]], [5, 6], factors=1 / 2)
    assert span(net, x, y) == [(2, 3), (3, 3)]  # 2.5 is a tie


def test_a_sum_that_is_rounded_twice_is_no_constant_for_who_rounds_once() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 1))
    y = net.pointwise(x, [[0]], [3], factors=1 / 8)
    assert Interpreter(net.graph(x, y)).run(np.zeros((1, 1, 1, 1), np.int8)).item() == 1  # 3 / 2 is 2, 2 / 4 is 1
    assert span(net, x, y) == [(0, 1)]


def test_nothing_is_said_of_sums_that_leave_int32() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 1))
    y = net.pointwise(x, [[1], [1]], [2**31 - 1, 2**31 - 200], factors=1 / 2)
    assert span(net, x, y) == [(-128, 127), (127, 127)]


def test_a_product_with_the_zero_point_is_zero_and_others_end_at_their_corners() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 2))
    a = net.pointwise(x, [[0, 0], [0, 1]], [0, 0], zero=3, factors=1 / 8, activation="RELU")  # 3; 3 to 19
    b = net.pointwise(x, [[1, 0], [1, 0]], [0, 0], factors=1 / 32)  # both -4 to 4
    y = net.node("MUL", (a, b), net.activation((1, 1, 1, 2), -10))
    assert span(net, x, y) == [(-10, -10), (-74, 54)]  # 16 * -4 - 10 and 16 * 4 - 10


def test_a_table_is_seen_between_the_ends() -> None:
    net = HandMade()
    x = net.activation((1, 1, 1, 1))
    low = net.pointwise(x, [[1]], [-64], factors=1 / 4)  # -48 to 16
    y = net.node("HARD_SWISH", (low,), net.activation((1, 1, 1, 1), -100))
    # x * relu6(x + 3) / 6 at scale 1: 0 up to -3, at -2 and -1 it is -1/3, 16 at 16; its least rounds to 0
    assert span(net, x, y) == [(-100, -84)]


def test_no_value_of_a_random_network_is_outside_its_range() -> None:
    constants = 0
    for seed in range(60):
        graph = dead_net(np.random.default_rng([seed, 1]))
        x = (
            np.random.default_rng(seed)
            .integers(-128, 128, (8, *graph.tensor(graph.inputs[0]).shape[1:]))
            .astype(np.int8)
        )
        x[0], x[1] = -128, 127
        ranges = channel_ranges(graph)
        for node, values in Interpreter(graph).trace(x):
            rows = values.reshape(-1, values.shape[-1])
            found = ranges[node.outputs[0]]
            assert (found.low <= rows.min(0)).all(), f"seed {seed}, {node.name}"
            assert (rows.max(0) <= found.high).all(), f"seed {seed}, {node.name}"
            constants += int(found.constant.sum())
    assert constants > 500
