"""Own pictures: benchmark sets, a plain baseline, ways to transfer compared.

python -m research.own_pictures build --out DIR
python -m research.own_pictures baseline DIR/SET --macs N --seconds T --out results.jsonl
python -m research.own_pictures compare DIR/SET WAY --seconds T --out results.jsonl
python -m research.own_pictures show results.jsonl
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli import main
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from research.own_pictures.transfer import Plan

_SET = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="SET")
_RESOLUTION = click.option("--resolution", type=click.IntRange(16, 128), help="Instead of the pictures' own.")
_SECONDS = click.option("--seconds", type=click.FloatRange(min=1), required=True, help="CPU time of the training.")
_SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
_OUT = click.option("--out", required=True, type=click.Path(path_type=Path), help="JSON lines that get one more.")


@click.group()
def own_pictures() -> None:
    """What a run is worth on users' own pictures."""


@own_pictures.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory of the sets.")
@click.argument("names", nargs=-1, metavar="[SET]...")
def build(out: Path, names: tuple[str, ...]) -> None:
    """Write the benchmark sets, all of them or the named ones; fetched packages are kept in DIR/packages."""
    from research.own_pictures import sets

    if unknown := sorted(set(names) - set(sets.SETS)):
        raise PipelineError(f"no set '{unknown[0]}'; choose of {', '.join(sets.SETS)}")
    for name in names or sets.SETS:
        click.echo(sets.build(name, out, out / "packages"), err=True)


@own_pictures.command()
@_SET
@click.option("--macs", type=click.IntRange(min=1), required=True, help="At most.")
@_RESOLUTION
@_SECONDS
@_SEED
@_OUT
def baseline(folder: Path, macs: int, resolution: int | None, seconds: float, seed: int, out: Path) -> None:
    """Train the plain net on a set from scratch and judge it."""
    from research.own_pictures.transfer import Plan

    _compare("plain", folder, resolution, Plan(seconds, seed, most_macs=macs), out)


@own_pictures.command()
@_SET
@click.argument("way")
@_RESOLUTION
@_SECONDS
@_SEED
@click.option("--sam-after", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Share of the steps.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=1.5e-3, show_default=True, help="From weights."
)
@click.option("--balance", type=click.Choice(["weights", "sampling", "none"]), default="weights", show_default=True)
@_OUT
def compare(
    folder: Path,
    way: str,
    resolution: int | None,
    seconds: float,
    seed: int,
    sam_after: float,
    rate: float,
    balance: str,
    out: Path,
) -> None:
    """Train a net of a set by WAY (adapt, head, whole, scratch or a released model's name) and judge it."""
    from research.own_pictures.transfer import Plan

    _compare(way, folder, resolution, Plan(seconds, seed, sam_after, balance, rate=rate), out)


@own_pictures.command()
@click.argument("records", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def show(records: Path) -> None:
    """Print the records of a comparison as a Markdown table."""
    from research.own_pictures.table import table

    click.echo(table(json.loads(line) for line in records.read_text().splitlines()))


def _compare(way: str, folder: Path, resolution: int | None, plan: Plan, out: Path) -> None:
    from research.own_pictures import sets, transfer

    record = transfer.compare(way, sets.read(folder, resolution), plan)
    with out.open("a") as file:
        file.write(json.dumps(record) + "\n")
    figures = ", ".join(f"{kind} {record[kind]['balanced']:.1%}" for kind in ("float", "int8"))
    click.echo(f"{folder.name} {way}: balanced accuracy {figures}, CPU {record['cpu_seconds']} s")


if __name__ == "__main__":
    main(own_pictures)
