"""`pipeline data`: fetch a data set, check what is on disk, and corrupt pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from pipeline.commands import options
from pipeline.errors import PipelineError, nearest


@click.group()
def data() -> None:
    """Fetch or verify data sets, or corrupt pictures."""


@data.command()
@click.argument("name", type=click.Choice(["cifar10", "cifar100", "cifar10c", "cifar100c"]))
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where to put it; the user's cache by default.")
def fetch(name: str, data_dir: Path | None) -> None:
    """Download a data set, resuming a cut download, and check its size and digest.

    cifar10c and cifar100c are the official corrupted test images, 2.9 GB each.
    """
    from flatnas.data.cifar import user_cache
    from pipeline.progress import Reporter

    reporter = Reporter()
    with reporter.track("downloading") as advance:
        path = _fetch(name, data_dir or user_cache(), advance)
    reporter.line(f"{name} is verified in {path}")


def _fetch(name: str, folder: Path, advance: Callable[[int, int | None], None]) -> Path:
    from flatnas.data.cifar100 import ARCHIVE, CIFAR100
    from flatnas.data.cifar_c import ARCHIVES
    from flatnas.data.download import fetch_archive, fetch_cifar10
    from flatnas.errors import DataError

    if name == "cifar10":
        return fetch_cifar10(folder, advance)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} can't be written ({error.strerror}); name another directory") from error
    if name == "cifar100":
        return fetch_archive(folder, advance, archive=ARCHIVE, name=CIFAR100.archives[0])
    corrupted = ARCHIVES[name.removesuffix("c")]
    return fetch_archive(folder, advance, archive=corrupted.published, name=f"{corrupted.folder}.tar")


@data.command(name="verify")
@options.dataset
@options.data_dir
def verify_data(dataset: str, data_dir: Path | None) -> None:
    """Check that a data set can be used, and say what it holds."""
    from flatnas.data.registry import load_dataset

    found = load_dataset(dataset, data_dir)
    click.echo(
        f"{found.name}: {len(found.train):,} training, {len(found.val):,} validation, "
        f"{len(found.test):,} test images of {len(found.class_names)} classes"
    )
    click.echo(f"sha256 {found.content_sha256}")
    _verify_corrupted(dataset, data_dir)


def _verify_corrupted(dataset: str, data_dir: Path | None) -> None:
    from flatnas.corruptions import CORRUPTIONS
    from flatnas.data.cifar_c import check_corrupted, find_corrupted

    source = find_corrupted(dataset, data_dir)
    if source is not None:
        check_corrupted(source, dataset, list(CORRUPTIONS))
        click.echo(f"official corrupted test images: {source}")


@data.command()
@click.argument("corruption")
@click.argument("severity", type=click.IntRange(1, 5))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@options.dataset
@options.data_dir
@options.seed
def corrupt(corruption: str, severity: int, out: Path, dataset: str, data_dir: Path | None, seed: int) -> None:
    """Write the test images under CORRUPTION at SEVERITY to OUT (.npy, uint8, N x H x W x 3)."""
    import io

    import numpy as np

    from flatnas.corruptions import CORRUPTIONS
    from flatnas.corruptions import corrupt as corrupted
    from flatnas.data.registry import load_dataset
    from pipeline.files import write_bytes

    if corruption not in CORRUPTIONS:
        raise PipelineError(f"no corruption '{corruption}'{nearest(corruption, CORRUPTIONS)}")
    test = load_dataset(dataset, data_dir).test
    buffer = io.BytesIO()
    np.save(buffer, corrupted(test.pixels_nhwc, corruption, severity, np.arange(len(test)), seed))
    try:
        write_bytes(out, buffer.getvalue())
    except OSError as error:
        raise PipelineError(f"can't write {out}: {error.strerror}") from error
