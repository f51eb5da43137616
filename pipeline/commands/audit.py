"""`pipeline audit`: what corruption does to any model, alone or beside a baseline on the same images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from pipeline.audits.request import AuditGates, AuditRequest, ModelInput
from pipeline.commands import options
from pipeline.commands.configured import configured
from pipeline.config import Setting, settings_of
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from pipeline import Audit, Subject
    from pipeline.audits.result import AuditResult, Gate
    from pipeline.progress import Reporter

_FILE = click.Path(path_type=Path, dir_okay=False)
_MODEL, _BASELINE = list(settings_of(ModelInput)), [s.prefixed("baseline") for s in settings_of(ModelInput)]
_REQUEST, _GATES = list(settings_of(AuditRequest)), list(settings_of(AuditGates))


@cloup.command()
@options.model
@cloup.option_group(
    "What is compared",
    cloup.option(
        "--baseline", type=click.Path(path_type=Path), help="A second model to compare with, on the same images."
    ),
)
@configured({"Audit": _REQUEST, "How the model is run": _MODEL, "How the baseline is run": _BASELINE, "Gates": _GATES})
@cloup.option_group(
    "Files",
    options.data_dir,
    options.json_file,
    options.junit,
    cloup.option("--html", "html_file", type=_FILE, help="Write a page with heat maps and flipped images."),
    cloup.option("--predictions", "predictions_file", type=_FILE, help="Write every answer, for 'pipeline compare'."),
)
def audit(
    given: dict[str, Any],
    model: Path,
    baseline: Path | None,
    data_dir: Path | None,
    json_file: Path | None,
    junit_file: Path | None,
    html_file: Path | None,
    predictions_file: Path | None,
) -> int:
    """Measure MODEL (TFLite or ONNX, float or int8) on clean and corrupted test images.

    MODEL may be a run directory: its int8 TFLite file is audited beside its float ONNX as the run did it, on the data,
    images and arithmetic of the run, and gives the run's figures.
    """
    from pipeline import audit as run_audit
    from pipeline.models import in_run_directory
    from pipeline.progress import Reporter

    limits = AuditGates(**_of(given, _GATES))
    run = model if model.is_dir() else None
    asked = _asked(given)
    if run is not None:
        model, float_onnx = in_run_directory(run)
        baseline = baseline or float_onnx
        asked = {**_of_run(run), **asked}
    request = _request(asked, limits)
    if limits.max_delta is not None and baseline is None:
        raise PipelineError("--max-delta compares with a baseline: name one with --baseline MODEL")
    subject, other = _subjects(given, model, baseline)
    beside = None
    if run is not None and not _of(given, _MODEL):
        subject, beside = _as_audited(run, model)
    data = _data(run, request, data_dir)
    options.check_names(limits.min_recall, "--min-recall", "class", data.class_names)
    reporter = Reporter()
    found = run_audit(subject, other, request, data=data, beside=beside, data_dir=data_dir, track=reporter.track)
    found = found.with_gates(_gates(limits, found.result))
    print_result(found.result, reporter)
    options.write_json_to(json_file, found.result.to_json())
    _write_reports(found, junit_file, html_file, predictions_file)
    return 0 if all(gate.passed for gate in found.result.gates) else 1


def _of(given: Mapping[str, Any], settings: Iterable[Setting]) -> dict[str, Any]:
    return {s.name: given[s.name] for s in settings if s.name in given}


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of the audit itself; a folder by its whole path."""
    asked = _of(given, _REQUEST)
    if "dataset" in asked:
        asked["dataset"] = options.whole_path(asked["dataset"])
    return asked


def _of_run(run: Path) -> dict[str, Any]:
    """What a run asked of its own audit."""
    from pipeline.run_data import read_config

    config = read_config(run)
    return {
        "dataset": config.data.dataset,
        "limit": config.audit.audit_images,
        "device_images": config.audit.device_images,
        "seed": config.seed,
    }


def _request(asked: Mapping[str, Any], limits: AuditGates) -> AuditRequest:
    """The request, its names of corruptions in their usual order.

    Raises:
        PipelineError: an unknown corruption, a gate on one that isn't measured, or a size that is none.
    """
    from flatnas.corruptions import CORRUPTIONS, STANDARD_15

    request = AuditRequest(**asked)
    options.check_names(request.corruptions, "--corruptions", "corruption", CORRUPTIONS)
    names = tuple(name for name in CORRUPTIONS if name in request.corruptions or not request.corruptions)
    options.check_names(limits.max_error, "--max-error", "corruption", names)
    if limits.max_mce is not None and not set(STANDARD_15) <= set(names):
        raise PipelineError("--max-mce needs all 15 standard corruptions; leave out --corruptions, or use --max-error")
    try:
        _ = request.cache_limit_bytes
    except ValueError as error:
        raise PipelineError(f"--cache-limit: {error}") from error
    return replace(request, corruptions=names)


def _subjects(given: Mapping[str, Any], model: Path, baseline: Path | None) -> tuple[Subject, Subject | None]:
    """The model and the baseline, each run as it was asked."""
    of_baseline = {s.name.removeprefix("baseline_"): given[s.name] for s in _BASELINE if s.name in given}
    subject = subject_of(model, ModelInput(**_of(given, _MODEL)))
    if baseline is None:
        if of_baseline:
            raise PipelineError("--baseline-… options are for a baseline: name one with --baseline MODEL")
        return subject, None
    return subject, subject_of(baseline, ModelInput(**of_baseline), prefix="baseline-")


def subject_of(path: Path, asked: ModelInput, prefix: str = "") -> Subject:
    """A model file, run as it was asked.

    Raises:
        PipelineError: what was asked contradicts itself, or there is no such file.
    """
    from pipeline.audits.subject import Subject, normalised_range

    levels: Any = asked.input_range
    if levels is not None and levels[0] == levels[1]:
        raise PipelineError(f"--{prefix}input-range: pixels 0 and 255 must be two different numbers")
    if asked.mean or asked.std:
        if not (asked.mean and asked.std) or levels is not None:
            raise PipelineError(f"--{prefix}mean and --{prefix}std go together, and not with --{prefix}input-range")
        _check_channels(asked.mean, f"--{prefix}mean")
        _check_channels(asked.std, f"--{prefix}std")
        if min(asked.std) <= 0:
            raise PipelineError(f"--{prefix}std: a standard deviation must be positive, not {min(asked.std):g}")
        levels = normalised_range(asked.mean, asked.std)
    return Subject(path, asked.runner, levels, asked.layout).existing()


def _check_channels(values: Sequence[float], option: str) -> None:
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise PipelineError(f"{option}: write three finite numbers, such as 0.485,0.456,0.406")


def _as_audited(run: Path, model: Path) -> tuple[Subject, Subject | None]:
    """The run's int8 file on the arithmetic of the run's own audit, and what stood beside it."""
    from pipeline.audits.device import run_subjects
    from pipeline.run_data import audited_on_device

    return run_subjects(model, on_device=audited_on_device(run))


def _data(run: Path | None, request: AuditRequest, data_dir: Path | None) -> Dataset:
    from flatnas.data.registry import load_dataset
    from pipeline.run_data import load_data_as_run

    if run is None:
        return load_dataset(request.dataset, data_dir)
    return load_data_as_run(run, request.dataset, data_dir)


def _gates(limits: AuditGates, result: AuditResult) -> list[Gate]:
    from pipeline.gates import delta_gates, limit_gates

    r = result.robustness
    gates = limit_gates(
        limits,
        accuracy=result.accuracy["model"],
        classifier=result.classifier,
        mce=r.mce["model"],
        per_corruption={name: row["model"] for name, row in r.per_corruption.items()},
    )
    return [*gates, *delta_gates(r.delta, limits.max_delta)]


def print_result(result: AuditResult, reporter: Reporter) -> None:
    """Print an audit's tables and gates for people."""
    from pipeline.report.audit_terminal import audit_screen

    reporter.console.print(audit_screen(result))


def _write_reports(found: Audit, junit: Path | None, html: Path | None, predictions: Path | None) -> None:
    from pipeline.files import write_bytes

    if junit is not None:
        from pipeline.report.junit import gates_as_junit

        model, gates = found.result.models["model"].file, found.result.gates
        options.written(junit, lambda: write_bytes(junit, gates_as_junit("pipeline audit", model, gates)))
    if html is not None:
        from pipeline.report.audit_page import render_audit_page

        page = render_audit_page(found)
        options.written(html, lambda: write_bytes(html, page.encode()))
    if predictions is not None:
        options.written(predictions, lambda: found.predictions.write(predictions))
