"""`pipeline data`: fetch a data set, verify or check what is on disk, and corrupt pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands import options
from pipeline.errors import PipelineError, nearest
from pipeline.files import write_bytes, write_json

if TYPE_CHECKING:
    from flatnas.data.preparation import Resize


@click.group()
def data() -> None:
    """Fetch or verify data sets, check own pictures, or corrupt pictures."""


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
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--resolution",
    callback=options.picture_size,
    metavar="SIDE|WIDTHxHEIGHT",
    help="Size of the net's pictures.",
)
@click.option(
    "--resize",
    type=click.Choice(["area", "crop", "letterbox"]),
    default="area",
    show_default=True,
    help="How pictures of another shape fit: squeezed, cropped, or between bars.",
)
@click.option(
    "--group-by",
    metavar="REGEX|folder",
    help="Pictures of one group stay in one part: by an expression in their path, or by the folder that they lie in.",
)
@click.option("--gray", is_flag=True, help="Look at them in gray.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write what is found to a file; - for stdout."
)
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write a page with pictures of each class.")
def check(
    folder: Path,
    resolution: tuple[int, int] | None,
    resize: Resize,
    group_by: str | None,
    gray: bool,
    json_file: Path | None,
    html_file: Path | None,
) -> int:
    """Look closely at the pictures of FOLDER (or of a .csv that lists them), and tell all that is wrong at once.

    Exit code 1 where a run would fail; doubts alone are warnings.
    """
    from dataclasses import asdict

    from rich.console import Console

    from flatnas.data.image_folder import is_own_data, open_folder, size_of
    from flatnas.data.inspection import inspect
    from flatnas.data.preparation import Preparation
    from flatnas.space.spaces import MCU_RESOLUTIONS, MOBILE_RESOLUTIONS
    from pipeline.progress import Reporter
    from pipeline.report.data_page import render_data_page
    from pipeline.report.data_view import data_summary

    if not is_own_data(folder):
        raise PipelineError(f"{folder} is no folder of images and no list of them (.csv)")
    preparation = Preparation(resolution, resize, None, 1 if gray else 3, group_by)
    with Reporter().track("reading pictures") as advance:
        opened = open_folder(folder, group_by)
        allowed = range(MCU_RESOLUTIONS.start, MOBILE_RESOLUTIONS.stop) if resolution else MCU_RESOLUTIONS
        found = inspect(folder, opened, preparation, size_of(opened, preparation, allowed), advance)
    Console(stderr=json_file == Path("-"), highlight=False, soft_wrap=True).print(data_summary(found.inspection))
    if json_file is not None:
        _write_json(json_file, {"usable": found.inspection.usable, **asdict(found.inspection)})
    if html_file is not None:
        options.written(html_file, lambda: write_bytes(html_file, render_data_page(found).encode()))
    return 0 if found.inspection.usable else 1


def _write_json(path: Path, value: dict[str, Any]) -> None:
    if path == Path("-"):
        click.echo(json.dumps(value, indent=1, ensure_ascii=False))
    else:
        options.written(path, lambda: write_json(path, value))


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

    if corruption not in CORRUPTIONS:
        raise PipelineError(f"no corruption '{corruption}'{nearest(corruption, CORRUPTIONS)}")
    test = load_dataset(dataset, data_dir).test
    buffer = io.BytesIO()
    np.save(buffer, corrupted(test.pixels_nhwc, corruption, severity, np.arange(len(test)), seed))
    options.written(out, lambda: write_bytes(out, buffer.getvalue()))
