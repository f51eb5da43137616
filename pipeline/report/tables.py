"""What the terminal shows: a run's verdict and summary, an audit's table. Renderables of rich; the caller prints.

Nothing depends on colour alone, and text from a report is never read as rich markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from export.prove.proof import Proof
from pipeline.audits.result import Classifier, Delta
from pipeline.report.budget import BudgetRow, budget_rows, failures, measured, requirement
from pipeline.report.classes import confusions
from pipeline.report.quantities import interval_ms, milliseconds, percent, points, size
from pipeline.report.run_report import RunReport
from pipeline.runs.timings import Timings

_BAR = 20  # characters
_WORSE = 0.005  # differences below half a point are left uncoloured


def verdict_panel(report: RunReport) -> Panel:
    """PASS or FAIL, the model in one line, and the gates that failed."""
    colour = "green" if report.passed else "red"
    f = report.footprint
    latency = interval_ms(f.latency_ms.low, f.latency_ms.high)
    text = Text.assemble(
        (" ✓ PASS " if report.passed else " ✗ FAIL ", f"bold white on {colour}"),
        (f"  {report.target} · {report.dataset.name}", "bold"),
        f"\nint8 top-1 {percent(report.audit.accuracy['int8'])}   ",
        f"flash {size(f.flash_bytes)}   SRAM {size(f.sram_bytes)}   latency {latency}",
    )
    for failure in failures(report.gates):
        text.append(f"\n✗ {failure}", "red")
    return Panel(text, border_style=colour, expand=False)


def summary(report: RunReport, directory: Path | None = None) -> Group:
    """A finished run in about 20 lines.

    Args:
        report: the run.
        directory: of the run, to say where the files are.
    """
    arch = Text.assemble(("arch  ", "dim"), str(report.arch))
    parts: list[RenderableType] = [verdict_panel(report), arch, _footprint(report), _quality(report), _gates(report)]
    if report.audit.classifier is not None:
        parts.append(_classes(report.audit.classifier))
    parts += [Text(f"warning: {what}", "yellow") for what in report.warnings]
    parts += [Text(f"not counted: {what}", "yellow") for what in report.uncounted]
    where = f"{directory}/" if directory else ""
    files = [
        "report.html",
        "MODEL_CARD.md",
        "model/model.int8.tflite",
        *(["model/firmware"] if report.firmware else []),
    ]
    parts.append(Text.assemble(("files  ", "dim"), " · ".join(f"{where}{file}" for file in files)))
    return Group(*parts)


def host_latency_table(timings: Timings) -> Group:
    """How long a mobile target's files take on this computer."""
    headings = ("file", "kernels", "threads", "median", "9 of 10 within")
    table = Table(*headings, box=None, header_style="dim", pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in timings.host_latency:
        kernels = "XNNPACK" if row.xnnpack else "built in"
        table.add_row(Text(row.file), kernels, str(row.threads), milliseconds(row.median_ms), milliseconds(row.p90_ms))
    head = f"LiteRT on this computer ({timings.cpu}), one image at a time; not the target's latency, which is estimated"
    return Group(Text(head, "dim"), table)


def audit_table(
    model_name: str,
    baseline_name: str | None,
    accuracy: Mapping[str, float],
    mean_error: Mapping[str, float | None],
    mce: Mapping[str, float | None],
    per_corruption: Mapping[str, Mapping[str, Sequence[float]]],
    delta: tuple[float, tuple[float, float]] | None,
) -> Group:
    """An audit: one row per corruption, with the mean over its severities and each severity of the model.

    Args:
        model_name: the model's, for the heading.
        baseline_name: the baseline's; None where the model was audited alone.
        accuracy: clean top-1 of `model` and, with a baseline, `baseline`.
        mean_error: mean corruption error, same keys.
        mce: same keys; None where not all 15 standard corruptions ran.
        per_corruption: name -> {`model`: five error rates, `baseline`: five error rates}.
        delta: mCE (mean error where it is absent) of the model minus the baseline's, and its 95 % interval; None
            without a baseline.
    """
    paired = baseline_name is not None
    table = Table(
        title=Text("error by corruption, %"),
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    table.add_column("corruption", no_wrap=True)
    for heading in ("model", "baseline", "diff") if paired else ("mean",):
        table.add_column(heading, justify="right", no_wrap=True)
    for severity in range(1, 6):
        table.add_column(f"sev {severity}" if severity == 1 else str(severity), justify="right", no_wrap=True)
    for name, errors in per_corruption.items():
        ours = fmean(errors["model"])
        cells = [Text(_bare(ours), "bold")]
        if paired:
            theirs = fmean(errors["baseline"])
            cells += [Text(_bare(theirs)), _difference(ours - theirs)]
        table.add_row(Text(name), *cells, *(Text(_bare(error), "dim") for error in errors["model"]))
    return Group(_audit_head(model_name, baseline_name, accuracy, mean_error, mce, delta), Text(), table)


def firmware_table(proof: Proof) -> Group:
    """One core's proof: the verdict, what it costs, and the instructions of each layer."""
    same = proof.mismatches == 0
    verdict = f"{proof.images} inputs, every byte as {' and '.join(proof.references)}"
    if proof.first_mismatch is not None:
        m = proof.first_mismatch
        verdict = (
            f"{proof.mismatches} of {proof.images} inputs differ; first: input {m.input}, layer '{m.layer}', "
            f"index {m.index}: wanted {m.wanted}, got {m.got}"
        )
    flash, ram = proof.flash_bytes, proof.ram_bytes
    facts = (
        f"instructions {proof.instructions:,}   flash {size(flash.total)} (code {size(flash.code)})   "
        f"RAM {size(ram.total)} (arena {size(ram.arena)}, stack {size(ram.stack)})"
    )
    table = Table("layer", "kernel", "instructions", "share", box=None, header_style="dim", pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for layer in proof.layers:
        share = layer.instructions / max(proof.instructions, 1)
        table.add_row(Text(layer.name), Text(layer.kernel, "dim"), f"{layer.instructions:,}", percent(share))
    return Group(
        Text(f"{proof.core} on {proof.emulator}, {proof.compiler}", "bold"),
        Text.assemble(("✓ " if same else "✗ ", "green" if same else "bold red"), verdict),
        Text(facts),
        table,
        *(Text(f"plain C: {layer.name}: {layer.reason}", "yellow") for layer in proof.layers if layer.reason),
    )


def _audit_head(
    model_name: str,
    baseline_name: str | None,
    accuracy: Mapping[str, float],
    mean_error: Mapping[str, float | None],
    mce: Mapping[str, float | None],
    delta: tuple[float, tuple[float, float]] | None,
) -> Group:
    head = Table(header_style="dim", box=None, pad_edge=False)
    head.add_column("", overflow="fold")
    for heading in ("clean top-1", "mean corruption error", "mCE"):
        head.add_column(heading, justify="right", no_wrap=True)
    rows = [("model", model_name)] + ([("baseline", baseline_name)] if baseline_name is not None else [])
    for key, name in rows:
        head.add_row(
            Text(name, "bold" if key == "model" else ""),
            percent(accuracy[key], 2),
            _optional(mean_error[key]),
            _optional(mce[key]),
        )
    parts: list[RenderableType] = [head]
    if delta is not None:
        parts.append(_delta_line("model − baseline", Delta(mean=delta[0], ci95=delta[1])))
    return Group(*parts)


def _footprint(report: RunReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for column in ("resource", "bar", "share", "used", "interval"):
        table.add_column(justify="right" if column == "share" else "left", no_wrap=True)
    for row in budget_rows(report):
        colour = "" if row.fits else "red"
        table.add_row(
            Text(row.resource, colour or "dim"),
            _bar(row),
            Text(percent(row.share, 0), colour),
            Text(f"{row.used} of {row.limit}", colour),
            row.note,
        )
    return table


def _bar(row: BudgetRow) -> Text:
    filled = min(_BAR, round(row.share * _BAR))
    return Text.assemble(("█" * filled, "cyan" if row.fits else "red"), ("░" * (_BAR - filled), "dim"))


def _quality(report: RunReport) -> Group:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("")
    for heading in ("float", "ONNX int8", "TFLite int8"):
        table.add_column(heading, justify="right", no_wrap=True)
    a, robustness = report.audit.accuracy, report.audit.robustness
    error, mce = robustness.mean_error, robustness.mce
    table.add_row(Text("top-1", "dim"), *(percent(a[role], 2) for role in ("float", "onnx", "int8")))
    table.add_row(Text("mean corruption error", "dim"), _optional(error["float"]), "", _optional(error["int8"]))
    if mce["int8"] is not None:
        table.add_row(Text("mCE", "dim"), _optional(mce["float"]), "", _optional(mce["int8"]))
    return Group(table, *([_delta_line("int8 − float", robustness.delta)] if robustness.delta else []))


def _classes(classifier: Classifier) -> Text:
    """Balanced accuracy, and the class that is recognised least."""
    low, high = classifier.ci95
    text = f"balanced accuracy {percent(classifier.balanced_accuracy, 2)} ({percent(low)} to {percent(high)})"
    known = [c for c in classifier.classes if c.recall is not None]
    least = min(known, key=lambda c: c.recall or 0.0)
    mixed = confusions(classifier)
    text += f"; least recall {percent(least.recall or 0.0)}, of {least.name}"
    if mixed:
        text += f"; most often {mixed[0].true} is taken for {mixed[0].answer} ({mixed[0].share})"
    return Text.assemble(("classes  ", "dim"), text)


def _gates(report: RunReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for gate in report.gates:
        colour = "green" if gate.passed else "bold red"
        table.add_row(
            Text("✓" if gate.passed else "✗", colour),
            Text(gate.name),
            Text(f"{measured(gate)}, must be {requirement(gate)}", "dim"),
        )
    return table


def _delta_line(what: str, delta: Delta) -> Text:
    return Text.assemble(
        (f"{what}  ", "dim"),
        (f"{points(delta.mean, 2)} points", "bold"),
        f", 95 % interval {points(delta.ci95[0], 2)} to {points(delta.ci95[1], 2)} (positive is worse)",
    )


def _difference(value: float) -> Text:
    return Text(points(value), "red" if value > _WORSE else "green" if value < -_WORSE else "")


def _bare(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _optional(fraction: float | None) -> str:
    return "–" if fraction is None else percent(fraction, 2)
