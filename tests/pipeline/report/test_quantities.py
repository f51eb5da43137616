from __future__ import annotations

import pytest
from reports import sample_report

from pipeline.report.budget import budget_rows, requirement
from pipeline.report.quantities import count, duration, interval_ms, milliseconds, percent, plain, points, size
from pipeline.results import Gate


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.8964), "89.6 %"),
        (percent(0.8964, 2), "89.64 %"),
        (points(0.0057, 2), "+0.57"),
        (points(-0.0048, 2), "−0.48"),
        (points(-0.00001), "0.0"),
        (size(181_248), "181.2 kB"),
        (size(1_048_576), "1.049 MB"),
        (size(138), "138 B"),
        (size(20_000), "20 kB"),
        (count(12_345_678), "12.35 M"),
        (count(148_312), "148.3 k"),
        (count(10_000), "10,000"),
        (count(20_000_000), "20 M"),
        (milliseconds(83.42), "83.4 ms"),
        (milliseconds(0.5), "0.5 ms"),
        (milliseconds(1234.5), "1,234 ms"),
        (interval_ms(61.2, 112.4), "61.2 to 112 ms"),
        (duration(8.44), "8.4 s"),
        (duration(245.2), "4 min 05 s"),
        (duration(3780), "1 h 03 min"),
        (plain(0.0083), "0.0083"),
        (plain(-0.5), "−0.5"),
        (plain(81_920), "81,920"),
    ],
)
def test_quantities_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("value", "limit", "passed", "expected"),
    [
        (0.5, 1, True, "≤ 1"),
        (1.5, 1, False, "≤ 1"),
        (0.9, 0.8, True, "≥ 0.8"),
        (0.7, 0.8, False, "≥ 0.8"),
        (0, 0, True, "0"),
    ],
)
def test_a_gates_side_follows_from_its_outcome(value: float, limit: float, passed: bool, expected: str) -> None:
    assert requirement(Gate(name="g", limit=limit, value=value, passed=passed)) == expected


def test_a_budget_row_is_the_share_of_the_limit_and_latency_carries_its_interval() -> None:
    rows = {row.resource: row for row in budget_rows(sample_report())}
    assert rows["peak SRAM"].share == pytest.approx(61_440 / 81_920)
    assert rows["latency"].whisker == pytest.approx((0.612, 1.124))
    assert rows["latency"].fits, "the middle of the interval counts"
