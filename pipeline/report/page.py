"""`report.html`: one page, no other file, font or script; a verdict in two seconds, then the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from pipeline.audits.result import Classifier, Robustness
from pipeline.report import quantities
from pipeline.report.budget import budget_rows, failures, measured, requirement
from pipeline.report.classes import MATRIX_CLASSES, class_rows, confusions
from pipeline.report.run_report import RunReport


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a heat map: its text, background and text colour."""

    text: str
    background: str
    ink: str


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One corruption: float, int8 and int8 - float, five severities each."""

    name: str
    groups: tuple[list[Cell], list[Cell], list[Cell]]


def render_page(report: RunReport, labels: Sequence[str]) -> str:
    """The whole page as HTML.

    Args:
        report: the run.
        labels: names of the classes, in the order of the outputs.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from pipeline.report import plots

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    for name in ("count", "duration", "milliseconds", "percent", "plain", "points", "size"):
        environment.filters[name] = getattr(quantities, name)
    environment.filters |= {"requirement": requirement, "measured": measured}
    delta = report.audit.robustness.delta
    assert delta is not None, "a run's audit has a baseline"
    template = environment.from_string(files("pipeline.report").joinpath("page.html.jinja").read_text("utf-8"))
    return template.render(
        r=report,
        labels=labels,
        budget=budget_rows(report),
        failed=failures(report.gates),
        c=report.audit.classifier,
        class_rows=class_rows(report.audit.classifier) if report.audit.classifier else [],
        confusions=confusions(report.audit.classifier) if report.audit.classifier else [],
        matrix=_matrix(report.audit.classifier),
        heat=_heat_rows(report.audit.robustness),
        peak=next((row for row in report.memory if row.peak), None),
        latency=quantities.interval_ms(report.footprint.latency_ms.low, report.footprint.latency_ms.high),
        front_svg=Markup(plots.front_plot(report)),
        hypervolume_svg=Markup(plots.hypervolume_plot(report.search.hypervolume)),
        delta_svg=Markup(plots.delta_plot(delta)),
        memory_svg=Markup(plots.memory_plot(report)),
    )


def _matrix(classifier: Classifier | None) -> list[list[Cell]]:
    """The confusion matrix, shaded by the share of the true class; nothing where it has too many classes."""
    from pipeline.report.plots import shades

    if classifier is None or len(classifier.classes) > MATRIX_CLASSES:
        return []
    rows = []
    for label, counts in enumerate(classifier.confusion):
        wrong = [0.0 if answer == label else k / max(sum(counts), 1) for answer, k in enumerate(counts)]
        rows.append([Cell(f"{k:,}", *shade) for k, shade in zip(counts, shades(wrong, "error"), strict=True)])
    return rows


def _heat_rows(robustness: Robustness) -> list[HeatRow]:
    from pipeline.report.plots import shades

    def errors(values: Sequence[float]) -> list[Cell]:
        return [
            Cell(f"{100 * value:.1f}", *shade) for value, shade in zip(values, shades(values, "error"), strict=True)
        ]

    def differences(values: Sequence[float]) -> list[Cell]:
        return [
            Cell(quantities.points(value), *shade)
            for value, shade in zip(values, shades(values, "difference"), strict=True)
        ]

    return [
        HeatRow(
            name.replace("_", " "),
            (
                errors(s["float"]),
                errors(s["int8"]),
                differences([b - a for a, b in zip(s["float"], s["int8"], strict=True)]),
            ),
        )
        for name, s in robustness.per_corruption.items()
    ]
