"""Options that several commands share."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import cloup

from pipeline.errors import PipelineError, nearest

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]


class Finite(click.FloatRange):
    """A finite number, of an interval where one is given; `nan` and `inf` are in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


def picture_size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`64` or `64x48` (width, height) to height and width in pixels."""
    if value is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", value.strip().lower())
    if match is None:
        raise click.BadParameter(f"'{value}' is no size; write one such as 64, or 64x48 for width and height")
    width = int(match[1])
    return int(match[2] or width), width


def whole_path(value: str) -> str:
    """A data set's name as it is; a folder or a list by its whole path, so that a run knows it again from anywhere."""
    from flatnas.data.registry import NAMES

    return str(Path(value).resolve()) if value not in NAMES and Path(value).exists() else value


target = cloup.option(
    "--target",
    "targets",
    metavar="NAME[,NAME…]",
    help="Hardware profiles; 'pipeline targets' lists them.",
)


dataset = cloup.option(
    "--dataset",
    default="cifar10",
    callback=lambda _ctx, _param, value: whole_path(value),
    show_default=True,
    metavar="cifar10|cifar100|digits|PATH",
    help="Data set, or a folder with one folder of images per class, or a list of images (.csv).",
)
data_dir = cloup.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Where the data set lies; else PIPELINE_DATA, else the user's cache.",
)
resolution = cloup.option(
    "--resolution",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Side that a folder's images are resized to; their own by default, up to what the search space takes.",
)
offline = cloup.option("--offline", is_flag=True, help="Never download anything.")
learning_rate = cloup.option(
    "--learning-rate",
    type=Finite(min=0, min_open=True),
    metavar="RATE",
    help="At the top of the training's schedule; where a loss diverges, try a tenth.",
)
device = cloup.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
json_file = cloup.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers to a file; - for stdout."
)
seed = cloup.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1))

junit = cloup.option(
    "--junit", "junit_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the gates as JUnit XML."
)


class ModelPath(click.Path):
    """A file, a run directory, or the name of a released model, which becomes the path of its directory."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path to read."""
        from pipeline.models import find_model

        return find_model(Path(os.fspath(value)))


model = click.argument("model", type=ModelPath())
run_directory = click.argument("directory", metavar="RUN", type=ModelPath())


def torch_device(device: Device) -> torch.device:
    """The device that `--device` names.

    Raises:
        PipelineError: it asks for a GPU that torch doesn't see.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise PipelineError("--device cuda: this torch sees no GPU; use --device cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def split_names(names: str | None) -> list[str]:
    """`a,b` to its parts, each once; a profile's file by its whole path."""
    if names is None:
        raise click.UsageError("Missing option '--target'; 'pipeline targets' lists them")
    found = (name.strip() for name in names.split(",") if name.strip())
    whole = list(dict.fromkeys(str(Path(name).resolve()) if name.endswith(".toml") else name for name in found))
    if not whole:
        raise PipelineError("--target names no target; 'pipeline targets' lists them")
    return whole


def key_values(pairs: Sequence[str], option: str) -> dict[str, str]:
    """`KEY=VALUE` options to a mapping."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise PipelineError(f"{option} '{pair}': write {option} KEY=VALUE")
        values[key.strip()] = value.strip()
    return values


def check_names(given: Collection[str], option: str, what: str, known: Collection[str]) -> None:
    """See that every name is known.

    Args:
        what: the names are of, for messages.

    Raises:
        PipelineError: one isn't.
    """
    for name in given:
        if name not in known:
            raise PipelineError(f"{option}: no {what} '{name}'{nearest(name, known)}")


def written(path: Path, write: Callable[[], None]) -> None:
    """Write a file that the user named.

    Raises:
        PipelineError: it can't be written.
    """
    try:
        write()
    except OSError as error:
        raise PipelineError(f"can't write {path}: {error.strerror}") from error


def write_json_to(file: Path | None, value: Any) -> None:
    """Write what `--json` asks for: to a file, to stdout for `-`, nothing without it.

    Raises:
        PipelineError: the file can't be written.
    """
    from pipeline.files import write_json

    if str(file) == "-":
        click.echo(json.dumps(value, indent=1))
    elif file is not None:
        written(file, lambda: write_json(file, value))


def existing_run(directory: Path) -> Path:
    """A directory that holds a run.

    Raises:
        PipelineError: it does not.
    """
    if not (directory / "run.json").is_file():
        raise PipelineError(f"{directory} holds no run: it has no run.json; 'pipeline run' makes one")
    return directory


def finished_run(directory: Path) -> Path:
    """A directory that holds a finished run.

    Raises:
        PipelineError: it does not.
    """
    from pipeline.runs.layout import MANIFEST

    if not (existing_run(directory) / MANIFEST).is_file():
        raise PipelineError(f"{directory} has no {MANIFEST}: the run is not finished; call 'pipeline run' again")
    return directory


def require_training_packages() -> None:
    """Raises:
    PipelineError: the packages that training needs are not installed.
    """
    needed = ("torch", "pymoo", "numba", "threadpoolctl", "safetensors")
    if missing := [package for package in needed if find_spec(package) is None]:
        raise PipelineError(f"this command trains, and needs {', '.join(missing)}: pip install 'flatnas-deploy[train]'")
