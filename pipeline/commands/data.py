"""`pipeline data`: fetch a data set, and check what is on disk."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options


@click.group()
def data() -> None:
    """Fetch or verify data sets."""


@data.command()
@click.argument("name", type=click.Choice(["cifar10"]))
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where to put it; the user's cache by default.")
def fetch(name: str, data_dir: Path | None) -> None:
    """Download a data set, resuming a cut download, and check it against the published MD5s."""
    from flatnas.cifar import user_cache
    from flatnas.download import fetch_cifar10
    from pipeline.progress import Reporter

    reporter = Reporter()
    with reporter.track("downloading") as advance:
        path = fetch_cifar10(data_dir or user_cache(), advance)
    reporter.line(f"{name} is verified in {path}")


@data.command(name="verify")
@options.dataset
@options.data_dir
def verify_data(dataset: str, data_dir: Path | None) -> None:
    """Check that a data set can be used, and say what it holds."""
    from flatnas.datasets import load_dataset

    found = load_dataset(dataset, data_dir)
    click.echo(
        f"{found.name}: {len(found.train):,} training, {len(found.val):,} validation, "
        f"{len(found.test):,} test images of {len(found.class_names)} classes"
    )
    click.echo(f"sha256 {found.content_sha256}")
