"""`pipeline targets`: the hardware profiles, and where their numbers come from."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")
def targets(name: str | None, as_json: bool) -> None:
    """List the targets, or show NAME with the source of every number."""
    from rich.console import Console
    from rich.table import Table

    from hardware_profiles.profile import load_profile, profile_names
    from pipeline.report.quantities import count, milliseconds, size

    profiles = [load_profile(n) for n in ([name] if name else profile_names())]
    if as_json:
        click.echo(json.dumps([p.model_dump() for p in profiles], indent=1))
        return
    if name is None:
        table = Table("target", "core", "clock", "flash", "SRAM", box=None, pad_edge=False)
        for heading in ("model: params", "MACs", "flash", "SRAM", "latency"):
            table.add_column(heading)
        for p in profiles:
            b, clock = p.budget, f"{p.clock_hz / 1e6:g} MHz"
            limits = (
                count(b.params),
                count(b.macs),
                size(b.flash_bytes),
                size(b.sram_bytes),
                milliseconds(b.latency_ms),
            )
            table.add_row(p.name, p.core, clock, size(p.flash_bytes), size(p.sram_bytes), *limits)
        for column in table.columns:
            column.no_wrap = True
        console = Console(highlight=False)
        console.width = max(console.width, 120)  # a line per target, also where the output is piped
        console.print(table)
        return
    profile = profiles[0]
    table = Table("key", "value", "source", title=f"{profile.name}: {profile.description}")
    flat = profile.model_dump()
    for key, source in profile.sources.items():
        part, _, leaf = key.rpartition(".")
        value = flat[part][leaf] if part else flat[leaf]
        table.add_row(key, f"{value:,}", source)
    Console().print(table)
