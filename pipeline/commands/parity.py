"""`pipeline parity`: do the runtimes compute the same?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands import options

if TYPE_CHECKING:
    from export.run.parity import Parity


@click.command()
@options.model
@click.option(
    "--onnx",
    "int8_onnx",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The QDQ ONNX of the same model.",
)
@click.option(
    "--images", default=100, show_default=True, type=click.IntRange(min=1), help="Seeded random inputs to compare on."
)
@options.seed
@click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout, with a row for every operator.")
def parity(model: Path, int8_onnx: Path | None, images: int, seed: int, as_json: bool) -> int:
    """Run the int8 TFLite MODEL on every runtime and compare each tensor with the integer interpreter's."""
    import numpy as np

    from export.run.parity import parity as compare
    from export.run.runners import load_runner
    from pipeline.models import model_file
    from pipeline.progress import Reporter

    model = model_file(model)
    resolution = load_runner(model, "litert-reference").resolution
    inputs = np.random.default_rng(seed).integers(-128, 128, (images, resolution, resolution, 3)).astype(np.int8)
    with Reporter().track("comparing runtimes") as advance:
        rows = compare(model, int8_onnx, inputs, advance)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _show(rows)
    return 0 if all(row.holds for row in rows) else 1


def _show(rows: tuple[Parity, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "runtime", "inputs that differ", "largest (LSB)", "allowed", "beyond", "same class", "first to differ"
    )
    for row in rows:
        first = row.first_difference
        table.add_row(
            row.runner,
            f"{row.mismatches} of {row.n}",
            str(row.max_abs_lsb),
            str(row.bound_lsb),
            f"{row.beyond:.2%}",
            f"{row.top1_agreement:.1%}",
            f"{first.node}, {first.max_abs_lsb} LSB" if first else "none",
            style=None if row.holds else "red",
        )
    console = Console()
    console.width = max(console.width, 120)  # a line per runtime, also where the output is piped
    console.print(table)
