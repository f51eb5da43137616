"""Where what a run names by a path lies on this computer: `places.json`, outside the manifest.

`run.json` has the last part of each path alone, and the content's hash, so that a run's files tell nothing of the
computer, and two runs of the same content in two places have the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.runs.layout import PLACES
from pipeline.values import read_value, write_value


@dataclass(frozen=True, slots=True)
class Places:
    """Whole paths; None of what is not named by one."""

    dataset: str | None = None
    supernet: str | None = None
    target: str | None = None


def without_place(value: str) -> str:
    """Of a path the last part."""
    return value.rstrip("/").rpartition("/")[2]


def places_of(config: RunConfig) -> Places:
    """The paths in a configuration."""
    return Places(*(value if value and "/" in value else None for value in _named(config)))


def without_places(config: RunConfig) -> RunConfig:
    """The configuration with the last part of each path alone."""
    return _with(config, Places(*(value and without_place(value) for value in _named(config))))


def with_places(config: RunConfig, directory: Path) -> RunConfig:
    """The configuration of a run directory with the paths that were its own on this computer.

    Raises:
        PipelineError: `places.json` is damaged.
    """
    path = directory / PLACES
    places = read_value(Places, path) if path.is_file() else Places()
    known = zip((places.dataset, places.supernet, places.target), _named(config), strict=True)
    return _with(config, Places(*(place if place and without_place(place) == name else None for place, name in known)))


def remember_places(directory: Path, config: RunConfig) -> None:
    """Keep the paths of a configuration, where it has some."""
    if (places := places_of(config)) != Places():
        write_value(directory / PLACES, places)


def _named(config: RunConfig) -> tuple[str, str | None, str]:
    return config.data.dataset, config.supernet.supernet, config.target


def _with(config: RunConfig, names: Places) -> RunConfig:
    """The configuration with other names; None keeps its own."""
    return replace(
        config,
        target=names.target or config.target,
        data=replace(config.data, dataset=names.dataset or config.data.dataset),
        supernet=replace(config.supernet, supernet=names.supernet or config.supernet.supernet),
    )
