"""The firmware and its peer side by side, in the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from export.prove.proof import Proof
from pipeline.report.quantities import size
from research.tflm_peer.peer import Peer


def peer_table(proof: Proof, peer: Peer) -> Table:
    """One row each."""
    headings = ("", "outputs equal", "instructions", "flash", "code", "data", "RAM", "arena", "variables", "stack")
    table = Table(*headings, box=None, header_style="dim", pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    rows: list[tuple[str, Proof | Peer]] = [("this firmware", proof), (peer.name, peer)]
    for name, x in rows:
        flash, ram = x.flash_bytes, x.ram_bytes
        sizes = (flash.total, flash.code, flash.data, ram.total, ram.arena, ram.variables, ram.stack)
        equal = f"{x.images - x.mismatches} of {x.images}"
        table.add_row(Text(name), equal, f"{x.instructions:,}", *map(size, sizes))
    return table
