"""`pipeline parity`: do the runtimes compute the same?"""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options


@click.command()
@options.model
@click.option("--onnx", "int8_onnx", type=click.Path(path_type=Path), help="The QDQ ONNX of the same model.")
@click.option(
    "--images", default=100, show_default=True, type=click.IntRange(min=1), help="Seeded random inputs to compare on."
)
@options.seed
def parity(model: Path, int8_onnx: Path | None, images: int, seed: int) -> int:
    """Run the int8 TFLite MODEL on every runtime and compare outputs with LiteRT's reference kernels."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from export.parity import parity as compare
    from export.runners import load_runner
    from pipeline.progress import Reporter

    resolution = load_runner(model, "litert-reference").resolution
    inputs = np.random.default_rng(seed).integers(-128, 128, (images, resolution, resolution, 3)).astype(np.int8)
    with Reporter().track("comparing runtimes") as advance:
        rows = compare(model, int8_onnx, inputs, advance)
    table = Table("runtime", "inputs", "inputs that differ", "largest difference (LSB)", "allowed", "same class")
    for row in rows:
        style = None if row.holds else "red"
        cells = (
            row.runner,
            str(row.n),
            str(row.mismatches),
            str(row.max_abs_lsb),
            str(row.bound_lsb),
            f"{row.top1_agreement:.1%}",
        )
        table.add_row(*cells, style=style)
    Console().print(table)
    return 0 if all(row.holds for row in rows) else 1
