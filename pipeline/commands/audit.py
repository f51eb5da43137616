"""`pipeline audit`: what corruption does to any model, alone or beside a baseline on the same images."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from click.core import ParameterSource

from pipeline.commands import options
from pipeline.errors import PipelineError, nearest

if TYPE_CHECKING:
    from export.run.runners import InputRange, Kind, Layout
    from pipeline.audit import Audit, Subject
    from pipeline.audit.result import AuditResult
    from pipeline.audit.run import Source
    from pipeline.progress import Reporter

_SHARE = options.Finite(0, 1)
_FILE = click.Path(path_type=Path, dir_okay=False)
_DEVICE_IMAGES = 1000  # corrupted pictures that the device's kernels see, too
_RUNNERS = ("onnxruntime", "litert", "litert-reference", "tflm", "interpreter", "firmware")


def _how_to_run(prefix: str, whom: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The options that say what runs a model and what a pixel is to it."""
    normalised = "(pixel / 255 - mean) / std"
    options_of_one = (
        click.option(
            f"--{prefix}runner",
            type=click.Choice(_RUNNERS),
            help=f"Runtime of {whom}; firmware is our C, compiled for this machine.",
        ),
        click.option(
            f"--{prefix}layout",
            type=click.Choice(["nhwc", "nchw"]),
            help=f"Layout of the input of {whom}, else read from its shape.",
        ),
        click.option(
            f"--{prefix}input-range",
            nargs=2,
            type=options.Finite(),
            metavar="LOW HIGH",
            help=f"What pixels 0 and 255 are to {whom}.",
        ),
        click.option(f"--{prefix}mean", metavar="R,G,B", help=f"With --{prefix}std: {whom} takes {normalised}."),
        click.option(f"--{prefix}std", metavar="R,G,B", help=f"With --{prefix}mean."),
    )

    def add(command: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(options_of_one):
            command = option(command)
        return command

    return add


@click.command()
@options.model
@click.option("--baseline", type=click.Path(path_type=Path), help="A second model to compare with, on the same images.")
@options.dataset
@options.data_dir
@click.option("--limit", type=click.IntRange(min=1), help="Audit a stratified subset of so many test images.")
@click.option("--corruptions", metavar="NAME[,NAME…]", help="Only these; mCE needs all 15 standard ones.")
@click.option(
    "--source",
    type=click.Choice(["auto", "official", "generated"]),
    default="auto",
    show_default=True,
    help="Of the corrupted images; auto takes the official files where they are on this machine.",
)
@_how_to_run("", "MODEL")
@_how_to_run("baseline-", "the baseline")
@click.option(
    "--floor", type=_SHARE, default=0.5, show_default=True, help="Tell the severity at which accuracy falls below this."
)
@click.option("--layers", is_flag=True, help="Look into the int8 model: noise and saturation of every activation.")
@click.option(
    "--calibration",
    "calibration_sizes",
    metavar="N[,N…]",
    help="Quantize the float model anew from so many calibration images, and show how the error moves.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of subset and pictures; 0, or a run's own.")
@click.option(
    "--cache-limit", default="4GB", show_default=True, help="Of corrupted images kept on disk; 0B keeps none."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers to a file; - for stdout.")
@options.junit
@click.option("--html", "html_file", type=_FILE, help="Write a page with heat maps and flipped images.")
@click.option("--predictions", "predictions_file", type=_FILE, help="Write every answer, for 'pipeline compare'.")
@options.limits
@click.option(
    "--max-delta",
    type=options.Finite(),
    help="Gate: fail where the interval of the delta to the baseline ends above this.",
)
def audit(
    model: Path,
    baseline: Path | None,
    dataset: str,
    data_dir: Path | None,
    limit: int | None,
    corruptions: str | None,
    source: str,
    runner: str | None,
    layout: str | None,
    input_range: tuple[float, float] | None,
    mean: str | None,
    std: str | None,
    baseline_runner: str | None,
    baseline_layout: str | None,
    baseline_input_range: tuple[float, float] | None,
    baseline_mean: str | None,
    baseline_std: str | None,
    floor: float,
    layers: bool,
    calibration_sizes: str | None,
    seed: int | None,
    cache_limit: str,
    json_file: Path | None,
    junit_file: Path | None,
    html_file: Path | None,
    predictions_file: Path | None,
    max_delta: float | None,
    min_accuracy: float | None,
    min_recall: tuple[str, ...],
    max_mce: float | None,
    max_error: tuple[str, ...],
) -> int:
    """Measure MODEL (TFLite or ONNX, float or int8) on clean and corrupted test images.

    MODEL may be a run directory: its int8 TFLite file is audited beside its float ONNX as the run did it, on the data,
    images and arithmetic of the run, and gives the run's figures.
    """
    from flatnas.corruptions import CORRUPTIONS, STANDARD_15
    from flatnas.data.registry import load_dataset
    from hardware_profiles.units import parse_bytes
    from pipeline.audit import audit as run_audit
    from pipeline.audit.device import run_subjects
    from pipeline.gates import Limits, limit_gates
    from pipeline.models import in_run_directory
    from pipeline.progress import Reporter
    from pipeline.run_data import audited_on_device, load_data_as_run, read_config

    names = _corruptions(corruptions, list(CORRUPTIONS))
    max_errors = options.shares(max_error, "--max-error", "corruption", names)
    if max_mce is not None and not set(STANDARD_15) <= set(names):
        raise PipelineError("--max-mce needs all 15 standard corruptions; leave out --corruptions, or use --max-error")
    sizes = _counts(calibration_sizes)
    run = model if model.is_dir() else None
    beside, device_images = None, _DEVICE_IMAGES
    if run is not None:
        model, float_onnx = in_run_directory(run)
        baseline = baseline or float_onnx
        config = read_config(run)
        limit = config.counts.audit_images if limit is None else limit
        seed = config.seed if seed is None else seed
        if click.get_current_context().get_parameter_source("dataset") is ParameterSource.DEFAULT:
            dataset = config.dataset
        if (runner, layout, input_range, mean, std) == (None,) * 5:
            exact, beside = run_subjects(model, on_device=audited_on_device(run))
            runner, device_images = exact.runner, config.counts.device_images
    if max_delta is not None and baseline is None:
        raise PipelineError("--max-delta compares with a baseline: name one with --baseline MODEL")
    try:
        cache_limit_bytes = parse_bytes(cache_limit)
    except ValueError as error:
        raise PipelineError(f"--cache-limit: {error}") from error
    subject = _subject(model, runner, layout, input_range, mean, std)
    other = (baseline_runner, baseline_layout, baseline_input_range, baseline_mean, baseline_std)
    if baseline is None and any(value is not None for value in other):
        raise PipelineError("--baseline-… options are for a baseline: name one with --baseline MODEL")
    compared = None if baseline is None else _subject(baseline, *other, prefix="baseline-")
    data = load_dataset(dataset, data_dir) if run is None else load_data_as_run(run, dataset, data_dir)
    min_recalls = options.shares(min_recall, "--min-recall", "class", data.class_names)
    reporter = Reporter()
    found = run_audit(
        subject,
        compared,
        beside=beside,
        device_images=device_images,
        dataset=data,
        data_dir=data_dir,
        limit=limit,
        corruptions=names,
        source=cast("Source", source),
        seed=seed or 0,
        floor=floor,
        layers=layers,
        calibration_sizes=sizes,
        cache_limit_bytes=cache_limit_bytes,
        track=reporter.track,
    )
    result = found.result
    gates = limit_gates(
        Limits(min_accuracy, min_recalls, max_mce, max_errors, max_delta),
        accuracy=result.accuracy["model"],
        classifier=result.classifier,
        mce=result.robustness.mce["model"],
        per_corruption={name: row["model"] for name, row in result.robustness.per_corruption.items()},
        delta=result.robustness.delta,
    )
    found = found.with_gates(gates)
    print_result(found.result, reporter)
    write_json_result(found.result, json_file)
    _write_reports(found, junit_file, html_file, predictions_file)
    return 0 if all(gate.passed for gate in gates) else 1


def _corruptions(names: str | None, known: list[str]) -> list[str]:
    if names is None:
        return known
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise PipelineError(f"--corruptions: no corruption '{name}'{nearest(name, known)}")
    if not wanted:
        raise PipelineError(f"--corruptions names none; choose from {', '.join(known)}")
    return [name for name in known if name in wanted]


def _counts(text: str | None) -> list[int]:
    if text is None:
        return []
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise PipelineError(f"--calibration '{text}': write numbers of images, such as 16,64,256")
    return counts


def _subject(
    path: Path,
    runner: str | None,
    layout: str | None,
    input_range: tuple[float, float] | None,
    mean: str | None,
    std: str | None,
    prefix: str = "",
) -> Subject:
    from pipeline.audit.subject import Subject, normalised_range

    levels: InputRange | None = input_range
    if input_range is not None and input_range[0] == input_range[1]:
        raise PipelineError(f"--{prefix}input-range: pixels 0 and 255 must be two different numbers")
    if mean is not None or std is not None:
        if mean is None or std is None or input_range is not None:
            raise PipelineError(f"--{prefix}mean and --{prefix}std go together, and not with --{prefix}input-range")
        means, deviations = _per_channel(mean, f"--{prefix}mean"), _per_channel(std, f"--{prefix}std")
        if min(deviations) <= 0:
            raise PipelineError(f"--{prefix}std '{std}': a standard deviation must be positive")
        levels = normalised_range(means, deviations)
    return Subject(path, cast("Kind | None", runner), levels, cast("Layout | None", layout)).existing()


def _per_channel(text: str, option: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
        if not all(map(math.isfinite, (red, green, blue))):
            raise ValueError
    except ValueError as error:
        raise PipelineError(f"{option} '{text}': write three finite numbers, such as 0.485,0.456,0.406") from error
    return red, green, blue


def print_result(result: AuditResult, reporter: Reporter) -> None:
    """Print an audit's tables and gates for people."""
    from pipeline.report.audit_terminal import audit_screen

    reporter.console.print(audit_screen(result))


def write_json_result(result: AuditResult, file: Path | None) -> None:
    """Write an audit's numbers to a file, or to stdout for `-`.

    Raises:
        PipelineError: the file can't be written.
    """
    import json

    from pipeline.files import write_json

    if str(file) == "-":
        click.echo(json.dumps(result.to_json(), indent=1))
    elif file is not None:
        options.written(file, lambda: write_json(file, result.to_json()))


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
