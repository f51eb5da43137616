"""`pipeline models`: the released models and what they are known to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.report.run_report import RunReport


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print each model's directory and report.json as JSON.")
def models(name: str | None, as_json: bool) -> None:
    """List the released models, or show the card of NAME.

    audit, fit, firmware, parity and verify take their names.
    """
    from pipeline.commands.run import read_report
    from pipeline.errors import nearest
    from pipeline.models import released_models
    from pipeline.values import plain

    released = released_models()
    if name is not None:
        if name not in released:
            raise PipelineError(f"no released model '{name}'{nearest(name, released)}")
        released = {name: released[name]}
    reports = {found: read_report(directory) for found, directory in released.items()}
    if as_json:
        answers = [
            {"name": found, "directory": str(released[found]), "report": plain(report)}
            for found, report in reports.items()
        ]
        click.echo(json.dumps(answers, indent=1))
    elif name is not None:
        _show_card(released[name])
    else:
        _list(reports)


def _show_card(directory: Path) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    console.print(Markdown((directory / "MODEL_CARD.md").read_text("utf-8")))
    console.print(f"\n{directory}", soft_wrap=True)


def _list(reports: dict[str, RunReport]) -> None:
    from rich.console import Console
    from rich.table import Table

    from pipeline.report.quantities import count, percent, points, size

    console = Console(highlight=False)
    console.width = max(console.width, 126)  # a line per model, also where the output is piped
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "data set"):
        table.add_column(heading, no_wrap=True)
    for heading in ("int8 top-1", "lost to int8", "int8 mCE", "MACs", "flash", "SRAM", "runtime"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, report in reports.items():
        mce, cost = report.audit.robustness.mce["int8"], report.footprint
        table.add_row(
            name,
            report.dataset.name,
            percent(report.audit.accuracy["int8"], 2),
            points(report.audit.accuracy["float"] - report.audit.accuracy["int8"], 2),
            "not measured" if mce is None else percent(mce, 2),
            count(cost.macs),
            size(cost.flash_bytes),
            size(cost.sram_bytes),
            cost.runtime,
        )
    console.print(table)
