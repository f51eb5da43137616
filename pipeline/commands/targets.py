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

    profiles = [load_profile(n) for n in ([name] if name else profile_names())]
    if as_json:
        click.echo(json.dumps([p.model_dump() for p in profiles], indent=1))
        return
    if name is None:
        table = Table(
            "target",
            "core",
            "clock MHz",
            "flash",
            "SRAM",
            "params",
            "MACs",
            "flash budget",
            "SRAM budget",
            "latency ms",
        )
        for p in profiles:
            b = p.budget
            numbers = (p.flash_bytes, p.sram_bytes, b.params, b.macs, b.flash_bytes, b.sram_bytes)
            table.add_row(p.name, p.core, f"{p.clock_hz / 1e6:g}", *(f"{n:,}" for n in numbers), f"{b.latency_ms:g}")
        Console().print(table)
        return
    profile = profiles[0]
    table = Table("key", "value", "source", title=f"{profile.name}: {profile.description}")
    flat = profile.model_dump()
    for key, source in profile.sources.items():
        part, _, leaf = key.rpartition(".")
        value = flat[part][leaf] if part else flat[leaf]
        table.add_row(key, f"{value:,}", source)
    Console().print(table)
