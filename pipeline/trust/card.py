"""What a model card must tell, given the report: its headline, its rates, its files.

The prose of a card changes between versions; these lines have not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipeline.report.budget import budget_rows
from pipeline.report.card import code_span, escaped
from pipeline.report.quantities import percent, points, size
from pipeline.report.run_report import RunReport


def missing_from_card(text: str, report: RunReport, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the line is about, and the line, of each that a card should have and has not."""
    for what, line in _expected(report, labels):
        if line not in text:
            yield what, line
    for gate in report.gates:
        outcome = "passed" if gate.passed else "**failed**"
        row = rf"^\| {re.escape(escaped(gate.name))} \|.*\| {re.escape(outcome)} \|$"
        if not re.search(row, text, re.MULTILINE):
            yield "a gate", f"| {gate.name} | … | {outcome} |"


def _expected(report: RunReport, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    cost, side, right = report.footprint, report.arch.resolution, report.audit.accuracy
    yield "the title", f"# {code_span(report.dataset.name)} classifier for {code_span(report.target)}\n"
    yield (
        "the verdict",
        f"**{'PASS' if report.passed else 'FAIL'}**: int8 top-1 {percent(right['int8'], 2)}, "
        f"flash {size(cost.flash_bytes)}, peak SRAM {size(cost.sram_bytes)}, ",
    )
    yield "the input", f"- Input: int8, NHWC, 1 × {side} × {side} × 3, RGB."
    yield "the classes", f"- Classes, in order: {', '.join(escaped(label) for label in labels)}.\n"
    for name, share in (
        ("float", right["float"]),
        ("ONNX int8", right["onnx"]),
        ("TFLite int8", right["int8"]),
    ):
        yield f"the accuracy of {name}", f"| {name} | {percent(share, 2)} |"
    robustness = report.audit.robustness
    for name, pair in (("mean error", robustness.mean_error), ("mCE", robustness.mce)):
        values = ["null" if value is None else percent(value, 2) for value in (pair["float"], pair["int8"])]
        yield f"the {name}", f"| {name} | {values[0]} | {values[1]} |"
    if delta := robustness.delta:
        low, high = (points(end, 2) for end in delta.ci95)
        interval = f"95 % interval {low} to {high}"
        yield "the difference of int8 and float", f"**{points(delta.mean, 2)} percentage points**, {interval}"
    for name, row in robustness.per_corruption.items():
        errors = "".join(f" {100 * error:.1f} |" for error in row["int8"])
        yield f"the errors under {name}", f"| {code_span(name)} |{errors}"
    for resource in budget_rows(report):
        interval = f" ({resource.note})" if resource.note else ""
        yield f"the {resource.resource}", f"| {resource.resource} | {resource.used}{interval} | {resource.limit} |"
    for path, digest in report.artifacts.items():
        yield f"the hash of {path}", f"| {code_span(path)} | {code_span(digest)} |"
