from __future__ import annotations

import pytest

from hardware_profiles.latency import CYCLES, Interval, cycles, latency_ms
from hardware_profiles.ops import OpSpec, TensorSpec


def conv(kernel: int, cin: int = 16, cout: int = 32, side: int = 8) -> OpSpec:
    x, y = TensorSpec("x", (1, side, side, cin)), TensorSpec("y", (1, side, side, cout))
    return OpSpec(
        "conv", "CONV_2D", (x,), y, kernel_hw=(kernel, kernel), weights=kernel * kernel * cin * cout, biases=cout
    )


@pytest.mark.parametrize("core", CYCLES)
def test_the_bounds_of_every_row_are_in_order_and_cite_a_source(core: str) -> None:
    row = CYCLES[core]
    for interval in (row.conv, row.pointwise, row.depthwise, row.fully_connected, row.element):
        assert 0 < interval.low <= interval.mid <= interval.high
    assert len(row.source) > 20


def test_cycles_are_macs_times_cycles_per_mac_plus_elements_written() -> None:
    row, op = CYCLES["cortex-m4"], conv(3)
    macs, elements = 8 * 8 * 3 * 3 * 16 * 32, 8 * 8 * 32
    assert cycles(op, "cortex-m4").mid == pytest.approx(macs * row.conv.mid + elements * row.element.mid)
    assert cycles(op, "cortex-m4").low == pytest.approx(macs * row.conv.low + elements * row.element.low)


def test_a_1x1_convolution_is_pointwise() -> None:
    row = CYCLES["cortex-m55"]
    assert cycles(conv(1), "cortex-m55").high == pytest.approx(
        8 * 8 * 16 * 32 * row.pointwise.high + 8 * 8 * 32 * row.element.high
    )


def test_an_operator_without_macs_still_takes_time() -> None:
    x = TensorSpec("x", (1, 8, 8, 16))
    op = OpSpec("add", "ADD", (x, TensorSpec("z", x.shape)), TensorSpec("y", x.shape))
    assert cycles(op, "cortex-m7").mid == pytest.approx(8 * 8 * 16 * CYCLES["cortex-m7"].element.mid)


def test_milliseconds_are_the_sum_of_cycles_over_the_clock() -> None:
    ops = [conv(3), conv(1)]
    total = cycles(ops[0], "cortex-m7").high + cycles(ops[1], "cortex-m7").high
    assert latency_ms(ops, "cortex-m7", 200_000_000).high == pytest.approx(total / 200_000)
    assert latency_ms(ops, "cortex-m7", 100_000_000).mid == pytest.approx(
        2 * latency_ms(ops, "cortex-m7", 200_000_000).mid
    )


def test_intervals_add_and_scale_bound_by_bound() -> None:
    assert Interval(1, 2, 3) + Interval(10, 20, 30) == Interval(11, 22, 33)
    assert Interval(1, 2, 3).times(4) == Interval(4, 8, 12)


def resnet8() -> list[OpSpec]:
    """MLPerf Tiny's image classification net, the operators with MACs: 12,501,632 of them."""
    layers = [(3, 3, 16, 32), *[(3, 16, 16, 32)] * 2, (3, 16, 32, 16), (3, 32, 32, 16), (1, 16, 32, 16)]
    layers += [(3, 32, 64, 8), (3, 64, 64, 8), (1, 32, 64, 8)]
    ops = [conv(kernel, cin, cout, side) for kernel, cin, cout, side in layers]
    ops.append(
        OpSpec(
            "fully_connected",
            "FULLY_CONNECTED",
            (TensorSpec("p", (1, 64)),),
            TensorSpec("l", (1, 10)),
            weights=640,
            biases=10,
        )
    )
    return ops


@pytest.mark.parametrize(
    ("core", "clock_hz", "measured_ms"),
    [
        ("cortex-m4", 120_000_000, 389.6),  # NUCLEO-L4R5ZI, microTVM with CMSIS-NN, MLPerf Tiny v1.0
        ("cortex-m4", 120_000_000, 296.6),  # the same board, ONNC, v1.1
        ("cortex-m7", 216_000_000, 62.6),  # DISCO-F746NG, HALE, v1.2
        ("cortex-m7", 280_000_000, 84.5),  # NUCLEO-H7A3ZI, HALE in its smallest RAM, v1.2
        ("cortex-m0plus", 64_000_000, 1522.0),  # NUCLEO-G0B1RE, HALE, v1.2
    ],
)
def test_published_times_of_resnet8_lie_in_the_interval(core: str, clock_hz: int, measured_ms: float) -> None:
    interval = latency_ms(resnet8(), core, clock_hz)
    assert interval.low <= measured_ms <= interval.high
