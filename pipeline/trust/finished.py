"""A finished run as its files describe it: the form of every value is checked here, and none is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.config import RunConfig
from pipeline.errors import PipelineError
from pipeline.report.run_report import RunReport
from pipeline.results.model_facts import ModelFacts
from pipeline.runs.layout import INT8_TFLITE, MODEL, REPORT, RUN
from pipeline.runs.runner import RunRecord
from pipeline.values import from_plain

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """A run directory.

    Attributes:
        files: sha256 by path, of the files that a manifest would list.
    """

    directory: Path
    files: Mapping[str, str]
    recorded: RunRecord
    report: RunReport
    model: ModelFacts

    @property
    def dataset(self) -> str:
        """The data set's name, without the place of a folder."""
        return without_place(self.report.dataset.name)

    @property
    def config(self) -> RunConfig:
        """What was asked of the run."""
        assert self.recorded.config is not None  # `read_finished` saw to it
        return self.recorded.config

    @property
    def outputs(self) -> dict[str, str]:
        """sha256 by path of every file that a stage wrote."""
        return {artifact.path: artifact.sha256 for stage in self.recorded.stages for artifact in stage.outputs}

    @property
    def made_by(self) -> dict[str, str]:
        """Versions by package: those of the last stage that names the package."""
        found: dict[str, str] = {}
        for stage in self.recorded.stages:
            found |= stage.versions
        return found

    @property
    def int8(self) -> Path:
        """The file that ships."""
        return self.directory / INT8_TFLITE


def read_finished(directory: Path, files: Mapping[str, str]) -> FinishedRun:
    """What the files of a finished run tell of it.

    Args:
        files: sha256 by path, of the files that are here; no other is opened.

    Raises:
        PipelineError: a file is missing, or is not of its form.
    """
    for path in (RUN, REPORT, MODEL, INT8_TFLITE):
        if path not in files:
            raise PipelineError(f"{path} is missing: a finished run has one")
    recorded = parsed(directory, RUN, RunRecord)
    if recorded.config is None:
        raise PipelineError(f"{RUN}: config is missing: a finished run has one")
    return FinishedRun(
        directory,
        files,
        recorded=recorded,
        report=parsed(directory, REPORT, RunReport),
        model=parsed(directory, MODEL, ModelFacts),
    )


def without_place(value: str) -> str:
    """Of a path the last part; some files tell no more of what the user named."""
    return value.rstrip("/").rpartition("/")[2]


def parsed(directory: Path, path: str, form: type[T]) -> T:
    """A JSON file of a run directory.

    Raises:
        PipelineError: it is not of that form, which names the first key; or an object has a key twice, of which each
            reader takes the one it likes.
    """
    try:
        content = json.loads((directory / path).read_bytes(), object_pairs_hook=_once)
        return from_plain(form, content, path)
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{path} is not as a run writes it: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key}' stands there twice")
        found[key] = value
    return found
