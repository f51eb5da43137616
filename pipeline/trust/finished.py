"""A finished run as its files describe it: the form of every value is checked here, and none is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.config import RunConfig
from pipeline.errors import PipelineError
from pipeline.results import RunReport
from pipeline.runs.layout import INT8_TFLITE, MODEL, REPORT, RUN
from pipeline.runs.manifest import Artifact

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MadeStage:
    """A stage as `run.json` records it; version 0.1 had no versions here."""

    name: str
    outputs: tuple[Artifact, ...]
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """`run.json`.

    Attributes:
        identity: target, data set, and the hash of its content.
        config: what was asked of the run.
        versions: of everything, in version 0.1; later each stage has its own.
        adopted: stages that were kept although their code had changed, and why.
    """

    identity: Mapping[str, str]
    config: RunConfig
    seed: int
    stages: tuple[MadeStage, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    adopted: tuple[Mapping[str, str], ...] = ()

    def outputs(self) -> dict[str, str]:
        """sha256 by path of every file that a stage wrote."""
        return {artifact.path: artifact.sha256 for stage in self.stages for artifact in stage.outputs}

    def made_by(self) -> dict[str, str]:
        """Versions by package: those of the last stage that names the package."""
        found = dict(self.versions)
        for stage in self.stages:
            found |= stage.versions
        return found


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """Input or output of the int8 file."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """`model.json`: what a user of the int8 file is told."""

    file: str
    sha256: str
    labels: tuple[str, ...]
    input: TensorFacts
    output: TensorFacts


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """A run directory.

    Attributes:
        files: sha256 by path, of the files that a manifest would list.
    """

    directory: Path
    files: Mapping[str, str]
    recorded: Recorded
    report: RunReport
    model: ModelFacts

    @property
    def dataset(self) -> str:
        """The data set's name, without the place of a folder."""
        return without_place(self.report.dataset)

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
    return FinishedRun(
        directory,
        files,
        recorded=parsed(directory, RUN, Recorded),
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
        return TypeAdapter(form).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"{path}: {key}" if key else path
        raise PipelineError(f"{where} is not as a run writes it: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{path} is not as a run writes it: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key}' stands there twice")
        found[key] = value
    return found
