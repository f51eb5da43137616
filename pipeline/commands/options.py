"""Options that several commands share."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

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


target = click.option(
    "--target",
    "targets",
    required=True,
    metavar="NAME[,NAME…]",
    help="Hardware profiles; 'pipeline targets' lists them.",
)


def _whole_path(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A folder or a list by its whole path, so that a run knows it again from anywhere."""
    from flatnas.data.registry import NAMES

    return str(Path(value).resolve()) if value not in NAMES and Path(value).exists() else value


dataset = click.option(
    "--dataset",
    default="cifar10",
    callback=_whole_path,
    show_default=True,
    metavar="cifar10|cifar100|digits|PATH",
    help="Data set, or a folder with one folder of images per class, or a list of images (.csv).",
)
data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Where the data set lies; else PIPELINE_DATA, else the user's cache.",
)
resolution = click.option(
    "--resolution",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Side that a folder's images are resized to; their own by default, up to what the search space takes.",
)
offline = click.option("--offline", is_flag=True, help="Never download anything.")
learning_rate = click.option(
    "--learning-rate",
    type=Finite(min=0, min_open=True),
    metavar="RATE",
    help="At the top of the training's schedule; where a loss diverges, try a tenth.",
)
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
seed = click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1))


_SHARE = Finite(0, 1)
junit = click.option(
    "--junit", "junit_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the gates as JUnit XML."
)


def limits(command: Callable[..., int]) -> Callable[..., int]:
    """The options that add a gate each."""
    for option in (
        click.option(
            "--max-error", multiple=True, metavar="NAME=X", help="Gate: of the mean error under a corruption."
        ),
        click.option("--max-mce", type=_SHARE, help="Gate: fail above this mCE."),
        click.option("--min-recall", multiple=True, metavar="CLASS=X", help="Gate: fail below this recall of a class."),
        click.option("--min-accuracy", type=_SHARE, help="Gate: fail below this clean accuracy."),
    ):
        command = option(command)
    return command


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


def split_names(names: str) -> list[str]:
    """`a,b` to its parts, each once; a profile's file by its whole path."""
    found = (name.strip() for name in names.split(",") if name.strip())
    whole = list(dict.fromkeys(str(Path(name).resolve()) if name.endswith(".toml") else name for name in found))
    if not whole:
        raise PipelineError("--target names no target; 'pipeline targets' lists them")
    return whole


def key_values(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    """`KEY=VALUE` options to a mapping."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise PipelineError(f"{option} '{pair}': write {option} KEY=VALUE")
        values[key.strip()] = value.strip()
    return values


def shares(pairs: tuple[str, ...], option: str, what: str, known: Collection[str]) -> dict[str, float]:
    """`NAME=X` options to fractions in [0, 1], by known names; a name may hold an equals sign.

    Args:
        what: the names are of, for messages.

    Raises:
        PipelineError: an unknown name, or a limit that is no fraction.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.rpartition("=")
        if not equals or not name:
            raise PipelineError(f"{option} '{pair}': write {option} NAME=X, with X between 0 and 1")
        if name not in known:
            raise PipelineError(f"{option}: no {what} '{name}'{nearest(name, known)}")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] <= 1:
            raise PipelineError(f"{option} {pair}: the limit must be a number between 0 and 1")
    return found


def written(path: Path, write: Callable[[], None]) -> None:
    """Write a file that the user named.

    Raises:
        PipelineError: it can't be written.
    """
    try:
        write()
    except OSError as error:
        raise PipelineError(f"can't write {path}: {error.strerror}") from error


def sigmas(text: str) -> tuple[float, ...]:
    """`0.02,0.05` to numbers, each once.

    Raises:
        PipelineError: one is no number in (0, 1].
    """
    try:
        values = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        values = ()
    if not values or not all(0 < value <= 1 for value in values):
        raise PipelineError(f"--sigma '{text}': write numbers greater than 0 and at most 1, such as 0.02,0.05")
    return values


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
