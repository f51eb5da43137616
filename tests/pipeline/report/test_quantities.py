from __future__ import annotations

from typing import Any

import pytest
from reports import sample_report

from pipeline.audits.result import Gate
from pipeline.report.budget import budget_rows, failures
from pipeline.report.quantities import count, duration, interval_ms, milliseconds, percent, plain, points, size


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
    ("gate", "expected"),
    [
        ({"limit": 2, "value": 3}, "g is 3, must be ≤ 2"),
        ({"limit": 0, "value": 1, "note": "cat"}, "g is 1: cat, must be 0"),
        ({"limit": 0.01, "value": 0.0123, "unit": "points"}, "g is +1.23 points, must be ≤ 1.00 points"),
        ({"limit": 0.9, "value": 0.88, "unit": "share", "asks": "at least"}, "g is 88.00 %, must be ≥ 90.00 %"),
        ({"limit": 0.5, "value": 0.5, "unit": "share", "asks": "more than"}, "g is 50.00 %, must be > 50.00 %"),
    ],
)
def test_a_gate_speaks_in_the_unit_of_its_table(gate: dict[str, Any], expected: str) -> None:
    assert failures([Gate(name="g", passed=False, **gate)]) == [expected]
    assert failures([Gate(name="g", passed=True, **gate)]) == []


def test_a_budget_row_is_the_share_of_the_limit_and_latency_carries_its_interval() -> None:
    rows = {row.resource: row for row in budget_rows(sample_report())}
    assert rows["peak SRAM"].share == pytest.approx(61_440 / 81_920)
    assert rows["latency"].whisker == pytest.approx((0.612, 1.124))
    assert rows["latency"].fits, "the middle of the interval counts"
