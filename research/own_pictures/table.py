"""The records of a comparison as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_RATE = 1.5e-3  # the usual one
_HEADER = "| set, test pictures | way | input | balanced accuracy, float | int8 | recall by class | epochs | CPU s |"


def table(records: Iterable[Mapping[str, Any]]) -> str:
    """One row per record, as they come, sets together; rates in percent, the interval is of 95 %."""
    rows = [_HEADER, "|---|---|---|---|---|---|---|---|"]
    for record in sorted(records, key=lambda r: str(r["set"])):
        measured = record["float"]
        recalls = " / ".join(f"{100 * recall:.0f}" for recall in record["int8"]["recalls"])
        cells = (
            f"{record['set']}, {sum(measured['images'])}",
            _described(record),
            record["arch"].split()[0].removeprefix("r") if record["arch"] != "plain" else record["resolution"],
            f"{100 * measured['balanced']:.1f} ± {100 * measured['half_width']:.1f}",
            f"{100 * record['int8']['balanced']:.1f}",
            recalls,
            record["epochs"],
            f"{record['cpu_seconds']:.0f}",
        )
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def _described(record: Mapping[str, Any]) -> str:
    """The way, and what of its plan is unusual."""
    notes = []
    if record["sam_after"] < 1:
        notes.append(f"SAM after {100 * record['sam_after']:.0f} %")
    if record.get("rate", _RATE) != _RATE:  # the first records lack it
        notes.append(f"rate {record['rate']:g}")
    if record["balance"] != "weights":
        notes.append(f"balance: {record['balance']}")
    return ", ".join([f"`{record['way']}`", *notes])
