"""docs/export.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from export.ops.table import ONNX, OPERATORS
from export.run.parity import BOUNDS_LSB

TEXT = (Path(__file__).parents[2] / "docs" / "export.md").read_text()


def _rows(heading: str) -> list[list[str]]:
    """Cells of the first table behind a heading, without its head."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_table_of_operators_is_the_set_that_can_be_quantized() -> None:
    rows = _rows("Operators")
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row[0])) == sorted(
        name for name, form in ONNX.items() if form.quantized
    )
    written = {name for row in rows for name in re.findall(r"[A-Z_0-9]{3,}", row[1])}
    assert written <= set(OPERATORS)


def test_the_interpreters_operators_are_listed() -> None:
    sentence = re.search(r"knows these operators of any int8 TFLite file: ([^.]*)\.", TEXT)
    assert sentence is not None
    listed = re.split(r",\s+", sentence[1])
    assert listed == sorted(name for name, operator in OPERATORS.items() if operator.prepare)


def test_the_bounds_of_parity_are_the_ones_that_are_checked() -> None:
    documented = {row[0].strip("`"): int(row[1]) for row in _rows("Parity")}
    assert documented == {kind: bound for kind, bound in BOUNDS_LSB.items() if kind != "interpreter"}
