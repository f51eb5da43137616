from __future__ import annotations

from research.own_pictures.table import table


def record(**changes: object) -> dict[str, object]:
    judged = {"balanced": 0.625, "half_width": 0.04321, "recalls": [0.75, 0.5], "images": [40, 20]}
    usual = {"set": "b", "way": "plain", "resolution": 64, "sam_after": 1.0, "balance": "weights", "arch": "plain"}
    return {**usual, "epochs": 7, "cpu_seconds": 59.6, "float": judged, "int8": judged | {"balanced": 0.6}, **changes}


def test_a_row_has_rates_in_percent_and_what_is_unusual_of_the_plan() -> None:
    other = record(set="a", way="head", arch="r40 8 24:k3e1 64", sam_after=0.75, balance="sampling")
    rows = table([record(), other]).splitlines()
    assert rows[2] == (
        "| a, 60 | `head`, SAM after 75 %, balance: sampling | 40 | 62.5 ± 4.3 | 60.0 | 75 / 50 | 7 | 60 |"
    )
    assert rows[3] == "| b, 60 | `plain` | 64 | 62.5 ± 4.3 | 60.0 | 75 / 50 | 7 | 60 |"
    assert {row.count("|") for row in rows} == {9}
