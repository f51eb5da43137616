"""`pipeline targets`: the hardware profiles, where their numbers come from, and how their memories are shared out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from rich.console import Console

    from hardware_profiles.profile import HardwareProfile

_BAR = 48


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the profiles, as validated, as JSON.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of a profile's TOML file, for editors.")
def targets(name: str | None, as_json: bool, schema: bool) -> None:
    """List the targets, or show NAME (or a TOML file) with the source of every number."""
    from hardware_profiles.profile import load_profile, profile_names

    if schema:
        from hardware_profiles.schema import profile_schema

        if name or as_json:
            raise PipelineError("--schema stands alone")
        click.echo(json.dumps(profile_schema(), indent=1))
        return
    profiles = [load_profile(n) for n in ([name] if name else profile_names())]
    if as_json:
        click.echo(json.dumps([p.model_dump() for p in profiles], indent=1))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.width = max(console.width, 132)  # a line per target, also where the output is piped
    if name is None:
        _list(profiles, console)
    else:
        _show(profiles[0], console)


def _list(profiles: list[HardwareProfile], console: Console) -> None:
    from rich.table import Table

    from pipeline.report.quantities import count, milliseconds

    table = Table("target", "core", "runtime", "clock", "flash", "SRAM", box=None, pad_edge=False)
    for heading in ("model: params", "MACs", "flash", "SRAM", "latency"):
        table.add_column(heading)
    for p in profiles:
        b, clock = p.budget, f"{p.clock_hz / 1e6:g} MHz"
        limits = (
            count(b.params),
            count(b.macs),
            _memory(b.flash_bytes),
            _memory(b.sram_bytes),
            milliseconds(b.latency_ms),
        )
        table.add_row(p.name, p.core, p.runtime, clock, _memory(p.flash_bytes), _memory(p.sram_bytes), *limits)
    for column in table.columns:
        column.no_wrap = True
    console.print(table)


def _show(profile: HardwareProfile, console: Console) -> None:
    from rich.table import Table

    console.print(f"[bold]{profile.name}[/]  {profile.description}")
    facts = {
        "extends": profile.extends,
        "core": " ".join((profile.core, *profile.features)),
        "runtime": profile.runtime,
        "compiler flags": " ".join(profile.compiler_flags),
        "emulator": profile.emulator and f"qemu-system-arm -M {profile.emulator}",
    }
    for fact, value in facts.items():
        if value:
            console.print(f"{fact:15}{value}")
    for line in _drawing(profile):
        console.print(line)
    table = Table("key", "value", "source", "read on", box=None, pad_edge=False)
    for key, source in profile.sources.items():
        value = _written(key, _number(profile, key))
        if source.range:
            value += f"\n{_written(key, source.range[0])} to {_written(key, source.range[1])}"
        table.add_row(key, value, source.text, source.date)
    console.print(table)


def _drawing(profile: HardwareProfile) -> list[str]:
    """Bars of each memory: reserved, the model's budget, free; and the SRAM's blocks to the same scale."""
    lines = [""]
    for title, has, reserved, budget in (
        ("flash", profile.flash_bytes, profile.reserved.flash_bytes, profile.budget.flash_bytes),
        ("SRAM", profile.sram_bytes, profile.reserved.sram_bytes, profile.budget.sram_bytes),
    ):
        free = has - reserved - budget
        bar = _shares((reserved, "▓"), (budget, "█"), (free, "░"))
        parts = f"▓ reserved {_memory(reserved)}  █ model {_memory(budget)}  ░ free {_memory(free)}"
        lines.append(f"{title:6}{bar}  {_memory(has)}: {parts}")
    if profile.regions:
        blocks = profile.blocks
        lines.append("      " + _shares(*((nbytes, "━┅"[i % 2]) for i, (_, nbytes) in enumerate(blocks))))
        for i, (names, nbytes) in enumerate(blocks):
            first = profile.regions[names[0]]
            where = "" if first.at is None else f" at {first.at:#010x}"
            parts = " + ".join(f"{n} (TCM)" if profile.regions[n].tcm else n for n in names)
            lines.append(f"      {'━┅'[i % 2]} {_memory(nbytes)}{where}: {parts}")
    return [*lines, ""]


def _shares(*parts: tuple[int, str]) -> str:
    """A bar of `_BAR` characters; each part ends where its cumulated share does."""
    total, done, bar = sum(nbytes for nbytes, _ in parts), 0, ""
    for nbytes, character in parts:
        done += nbytes
        bar += character * (round(_BAR * done / total) - len(bar))
    return bar


def _number(profile: HardwareProfile, key: str) -> float:
    part, _, leaf = key.rpartition(".")
    if part == "regions":
        return profile.regions[leaf].size_bytes
    return float(getattr(getattr(profile, part) if part else profile, leaf))


def _written(key: str, value: float) -> str:
    from pipeline.report.quantities import count, milliseconds

    if key == "clock_hz":
        return f"{value / 1e6:g} MHz"
    if key == "latency_factor":
        return f"{value:g}"
    if key == "budget.latency_ms":
        return milliseconds(value)
    return count(value) if key in ("budget.params", "budget.macs") else _memory(value)


def _memory(nbytes: float) -> str:
    """As data sheets write it: `64 KiB` where it is a whole number of them, else in 1000s: `8 GB`."""
    from pipeline.report.quantities import size

    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= scale and nbytes % scale == 0 and nbytes % 1000:
            return f"{nbytes / scale:,.0f} {unit}"
    return size(nbytes)
