"""`pipeline shrink` for people: what went, what is left, and on which runtimes both files agree."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from export.shrink import Sameness
from pipeline.report.quantities import count, percent, size
from pipeline.results.shrink import ShrinkProof


def show(proof: ShrinkProof, out: Path) -> None:
    """Print a shrunk file's proof to stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not proof.removed:
        console.print(Text(f"nothing to remove: no channel of {proof.model} is known to be dead; {out} is its equal"))
    else:
        constants = sum(channel.reason == "constant" for channel in proof.removed)
        console.print(
            Text(
                f"{out}: channels removed {len(proof.removed):,} of {proof.before.channels:,} "
                f"(constant {constants:,}, unread {len(proof.removed) - constants:,})"
            )
        )
        console.print(_sizes(proof))
    for row in proof.parity:
        console.print(_sameness(row))


def _sizes(proof: ShrinkProof) -> Table:
    table = Table("", "before", "after", "", box=None, header_style="dim", pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, write in (("macs", count), ("weights", count), ("file_bytes", size)):
        before, after = getattr(proof.before, name), getattr(proof.after, name)
        title = {"macs": "MACs", "file_bytes": "file"}.get(name, name)
        table.add_row(title, write(before), write(after), percent(after / before, 0))
    return table


def _sameness(row: Sameness) -> Text:
    if row.skipped is not None:
        return Text(f"{row.runtime}: not run: {row.skipped}", "yellow")
    if row.mismatches:
        return Text(
            f"✗ {row.runtime}: {row.mismatches:,} of {row.inputs:,} inputs differ, by up to {row.max_abs_lsb}", "red"
        )
    return Text.assemble(("✓ ", "green"), f"{row.runtime}: {row.inputs:,} inputs, every byte the same")
