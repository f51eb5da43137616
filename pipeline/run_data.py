"""The data of a run: a folder's pictures at the resolution that the run has them at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audits.result import AuditResult
from pipeline.config import DataSettings, RunConfig
from pipeline.errors import PipelineError
from pipeline.files import read_object
from pipeline.runs.layout import AUDIT, RUN, SUPERNET
from pipeline.runs.places import with_places
from pipeline.values import from_plain, read_value

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset


def load_data(config: RunConfig, data_dir: Path | None) -> Dataset:
    """A run's data; own pictures at the resolution of the user's supernet, unless another one was asked for."""
    supernet = config.supernet.supernet
    return _load(config.data.dataset, data_dir, config.data, Path(supernet) if supernet else None)


def _load(dataset: str, data_dir: Path | None, how: DataSettings, supernet: Path | None) -> Dataset:
    from flatnas.data.preparation import Preparation
    from flatnas.data.registry import NAMES, load_dataset
    from flatnas.space.spaces import MCU_RESOLUTIONS, resolutions_of

    side, allowed = how.resolution, MCU_RESOLUTIONS
    if supernet is not None and dataset not in NAMES:
        from flatnas.nets.supernet_file import read_space

        space = read_space(supernet)
        side, allowed = side or space.resolutions[-1], resolutions_of(space.name)
    size_hw = None if side is None else (side, side)
    mirrors = None if how.mirrors == "auto" else how.mirrors == "yes"
    preparation = Preparation(size_hw=size_hw, resize=how.resize, mirrors=mirrors, group_by=how.group_by)
    return load_dataset(dataset, data_dir, preparation, allowed)


def load_data_as_run(directory: Path, dataset: str, data_dir: Path | None) -> Dataset:
    """A data set, which may be another than the run's own; own pictures prepared as the run's were.

    Raises:
        PipelineError: the run is of another version.
    """
    from flatnas.data.registry import NAMES

    if dataset in NAMES:
        return _load(dataset, data_dir, DataSettings(), None)
    supernet = directory / SUPERNET  # released models come without it
    return _load(dataset, data_dir, read_config(directory).data, supernet if supernet.is_file() else None)


def audited_on_device(directory: Path) -> bool:
    """Whether a run's own audit computed as the device does; those of version 0.1 did not. One without an audit should.

    Raises:
        PipelineError: its audit is damaged.
    """
    if not (directory / AUDIT).is_file():
        return True
    return read_value(AuditResult, directory / AUDIT).models["int8"].runner == "firmware"


def read_config(directory: Path) -> RunConfig:
    """The configuration of a run, with the paths that it had on this computer.

    Raises:
        PipelineError: there is none, or it is of another version.
    """
    try:
        config = from_plain(RunConfig, read_object(directory / RUN, "config")["config"], RUN)
    except (OSError, PipelineError) as error:
        raise PipelineError(f"{directory}/run.json is of another version; call 'pipeline run' again") from error
    return with_places(config, directory)
