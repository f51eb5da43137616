"""A study for people: STUDY.md with a plot of each way of training, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from io import StringIO
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.files import write_bytes
from pipeline.report.plots import figure_of, style
from pipeline.report.quantities import MINUS, percent, points
from pipeline.values import write_value
from research.study.records import Correlation, Prediction, Study, Training


def write_study(study: Study, directory: Path) -> None:
    """`study.json`, `STUDY.md` and a plot of each way of training."""
    write_value(directory / "study.json", study)
    for training, found in study.conclusions.items():
        write_bytes(directory / f"{training}.svg", correlations_plot(found.of_mce).encode())
    write_bytes(directory / "STUDY.md", _markdown(study).encode())


def study_screen(study: Study) -> Group:
    """What went with the int8 mCE, one table for each way of training."""
    tables: list[Table | Text] = []
    for training, found in study.conclusions.items():
        table = Table(title=training, title_justify="left", title_style="bold", box=None, pad_edge=False)
        table.add_column("known beforehand", no_wrap=True)
        for heading in ("with int8 mCE", "beyond error and MACs"):
            table.add_column(heading, justify="right")
        for p in found.of_mce:
            table.add_row(p.predictor, _interval(p.alone), _interval(p.beyond) if p.beyond else "")
        tables.append(table)
    for d in study.sam_against_sgd:
        tables.append(
            Text(f"SAM {MINUS} SGD, {d.what}: {points(d.mean, 2)} ({points(d.ci95[0], 2)} to {points(d.ci95[1], 2)})")
        )
    return Group(*tables)


def _markdown(study: Study) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "points": points, "coefficient": _coefficient}
    template = environment.from_string(files("research.study").joinpath("study.md.jinja").read_text("utf-8"))
    return template.render(s=study, ranges={t: _ranges(study, t) for t in study.conclusions}) + "\n"


def _ranges(study: Study, training: Training) -> dict[str, str]:
    after = [m.after[training] for m in study.members]
    added = [o.mce["int8"] - o.mce["float"] for o in after]
    mce, clean = [o.mce["int8"] for o in after], [o.test_error["int8"] for o in after]
    return {
        "mce": f"{percent(min(mce))} to {percent(max(mce))}",
        "clean": f"{percent(min(clean))} to {percent(max(clean))}",
        "added": f"{points(min(added), 2)} to {points(max(added), 2)} points",
    }


def _interval(c: Correlation) -> str:
    return f"{_coefficient(c.rho)} ({_coefficient(c.ci95[0])} to {_coefficient(c.ci95[1])})"


def _coefficient(value: float) -> str:
    return f"{value:+.2f}".replace("-", MINUS)


def correlations_plot(predictions: Sequence[Prediction]) -> str:
    """Rank correlations with the int8 mCE: alone, and beyond clean error and MACs; an SVG file of its own."""
    with style():
        figure = figure_of(7.0, 0.9 + 0.34 * len(predictions))
        axes = figure.add_subplot()
        axes.axvline(0, color="#888888", linewidth=1)
        for place, p in enumerate(reversed(predictions)):
            for c, up, colour in ((p.alone, 0.12, "#1f6f8b"), (p.beyond, -0.12, "#c8553d")):
                if c is not None:
                    axes.plot(c.ci95, (place + up, place + up), color=colour, linewidth=2)
                    axes.plot(c.rho, place + up, color=colour, marker="o", markersize=5)
        axes.set(xlim=(-1.02, 1.02), xlabel="Spearman's correlation; red: beyond clean error and MACs")
        axes.set_yticks(range(len(predictions)), [p.predictor for p in reversed(predictions)])
        axes.grid(visible=True, axis="x", color="#cccccc")
        text = StringIO()
        silent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", facecolor="white", metadata=silent)
        return text.getvalue()
