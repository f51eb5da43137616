"""The data of a run: a folder's pictures at the resolution that the run has them at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import RunConfig
from pipeline.errors import PipelineError
from pipeline.files import read_json, read_object
from pipeline.runs.layout import AUDIT

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset


def load_data(dataset: str, data_dir: Path | None, resolution: int | None, supernet: Path | None) -> Dataset:
    """The data set; a folder's images at the resolution of the user's supernet, unless another one was asked for."""
    from flatnas.data.preparation import square
    from flatnas.data.registry import NAMES, load_dataset

    if supernet is None or dataset in NAMES:
        return load_dataset(dataset, data_dir, square(resolution))
    from flatnas.nets.supernet_file import read_space
    from flatnas.space.spaces import resolutions_of

    space = read_space(supernet)
    return load_dataset(dataset, data_dir, square(resolution or space.resolutions[-1]), resolutions_of(space.name))


def load_data_as_run(directory: Path, dataset: str, data_dir: Path | None) -> Dataset:
    """A data set, which may be another than the run's own; a folder's images at the resolution of the run's.

    Raises:
        PipelineError: the run is of another version.
    """
    from flatnas.data.registry import NAMES

    if dataset in NAMES:
        return load_data(dataset, data_dir, None, None)
    supernet = directory / "search" / "supernet.safetensors"  # released models come without it
    resolution = read_config(directory).resolution
    return load_data(dataset, data_dir, resolution, supernet if supernet.is_file() else None)


def audited_on_device(directory: Path) -> bool:
    """Whether a run's own audit computed as the device does; those of version 0.1 did not. One without an audit should.

    Raises:
        PipelineError: its audit is damaged.
    """
    if not (directory / AUDIT).is_file():
        return True
    return bool(read_object(directory / AUDIT, "robustness")["robustness"].get("arithmetic") == "firmware")


def read_config(directory: Path) -> RunConfig:
    """The configuration of a run.

    Raises:
        PipelineError: there is none, or it is of another version.
    """
    try:
        return RunConfig.model_validate(read_json(directory / "run.json")["config"])
    except (OSError, KeyError, ValueError) as error:
        raise PipelineError(f"{directory}/run.json is of another version; call 'pipeline run' again") from error
