"""A finished run as its files describe it: the form of every value is checked here, and none is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TypeVar

from hardware_profiles.profile import Budget
from pipeline.config import RunConfig
from pipeline.errors import PipelineError
from pipeline.files import read_json
from pipeline.report.run_report import RunReport
from pipeline.results.model_facts import ModelFacts
from pipeline.runs.layout import INT8_TFLITE, MODEL, REPORT, RUN
from pipeline.runs.runner import RunRecord
from pipeline.values import from_plain

T = TypeVar("T")

ROLES = ("int8", "float")  # of the models of a run's audit


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """A run directory.

    Attributes:
        files: sha256 by path, of the files that a manifest would list.
        config: what was asked, as `record` has it.
    """

    directory: Path
    files: Mapping[str, str]
    record: RunRecord
    config: RunConfig
    report: RunReport
    model: ModelFacts

    @property
    def int8(self) -> Path:
        """The file that ships."""
        return self.directory / INT8_TFLITE

    def outputs(self) -> dict[str, str]:
        """sha256 by path of every file that a stage wrote."""
        return {artifact.path: artifact.sha256 for stage in self.record.stages for artifact in stage.outputs}

    def made_by(self) -> dict[str, str]:
        """Versions by package: those of the last stage that names the package."""
        return {name: version for stage in self.record.stages for name, version in stage.versions.items()}


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
    record = parsed(directory, RUN, RunRecord)
    if record.config is None:
        raise PipelineError(f"{RUN}: config is missing: a finished run has one")
    report, model = parsed(directory, REPORT, RunReport), parsed(directory, MODEL, ModelFacts)
    if lacking := _lacking(report):
        raise PipelineError(f"{REPORT}: has no {', '.join(lacking)}")
    return FinishedRun(directory, files, record, record.config, report, model)


def _lacking(report: RunReport) -> list[str]:
    """What every run's report has in its tables, and this one does not."""
    audit, r = report.audit, report.audit.robustness
    tables = {"mCE": r.mce, "mean error": r.mean_error, **{f"errors under {n}": t for n, t in r.per_corruption.items()}}
    accuracy = [role for role in (*ROLES, "onnx") if role not in audit.accuracy]
    return [
        *(f"budget of {name}" for name in Budget.model_fields if report.budget.get(name, 0) <= 0),
        *(f"accuracy of the {role} model" for role in accuracy),
        *(f"{what} of the {role} model" for what, table in tables.items() for role in ROLES if role not in table),
        *(["difference of int8 and float"] if r.delta is None else []),
    ]


def parsed(directory: Path, path: str, form: type[T]) -> T:
    """The value in a JSON file of a run directory.

    Raises:
        PipelineError: it is none of that form.
    """
    what = f"{path} is not as a run writes it"
    try:
        content = read_json(directory / path)
    except PipelineError as error:
        raise PipelineError(f"{what}: {error.__cause__}") from error
    if not _finite(content):
        raise PipelineError(f"{what}: it holds a number that is none")
    return from_plain(form, content, what)


def _finite(value: object) -> bool:
    """Whether every number in a JSON value is one: Python reads NaN and Infinity, and 1e999 as one."""
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, list) else not isinstance(value, float) or isfinite(value)
