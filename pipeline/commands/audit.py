"""`pipeline audit`: what corruption does to any model, alone or beside a baseline on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from pipeline.commands import options
from pipeline.config import PipelineError, nearest

if TYPE_CHECKING:
    from export.runners import Kind, Runner
    from pipeline.results import Delta, Gate

_SHARE = click.FloatRange(0, 1)


@click.command()
@options.model
@click.option("--baseline", type=click.Path(path_type=Path), help="A second model to compare with, on the same images.")
@options.dataset
@options.data_dir
@click.option("--limit", type=click.IntRange(min=1), help="Audit a stratified subset of so many test images.")
@click.option(
    "--runner", type=click.Choice(["onnxruntime", "litert", "litert-reference", "tflm"]), help="Runtime of MODEL."
)
@click.option(
    "--input-range", nargs=2, type=float, metavar="LOW HIGH", help="What pixels 0 and 255 are to a float MODEL."
)
@click.option("--baseline-input-range", nargs=2, type=float, metavar="LOW HIGH", help="Likewise for the baseline.")
@options.seed
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers to a file; - for stdout.")
@click.option("--max-mce", type=_SHARE, help="Gate: fail above this mCE.")
@click.option(
    "--max-delta", type=float, help="Gate: fail where the interval of the delta to the baseline ends above this."
)
@click.option("--min-accuracy", type=_SHARE, help="Gate: fail below this clean accuracy.")
@click.option(
    "--max-error", multiple=True, metavar="NAME=X", help="Gate: fail above this mean error under one corruption."
)
def audit(
    model: Path,
    baseline: Path | None,
    dataset: str,
    data_dir: Path | None,
    limit: int | None,
    runner: str | None,
    input_range: tuple[float, float] | None,
    baseline_input_range: tuple[float, float] | None,
    seed: int,
    json_file: Path | None,
    max_mce: float | None,
    max_delta: float | None,
    min_accuracy: float | None,
    max_error: tuple[str, ...],
) -> int:
    """Measure MODEL (TFLite or ONNX, float or int8) on clean and corrupted test images."""
    from export.runners import load_runner
    from flatnas.corruptions import CORRUPTIONS, STANDARD_15
    from pipeline.gates import audit_gates

    corruptions = list(CORRUPTIONS)
    limits = _error_limits(max_error, corruptions)
    if max_mce is not None and not set(STANDARD_15) <= set(corruptions):
        lacking = ", ".join(name for name in STANDARD_15 if name not in corruptions)
        raise PipelineError(
            f"--max-mce needs all 15 corruptions, and these are not built yet: {lacking}; use --max-error NAME=X"
        )
    if max_delta is not None and baseline is None:
        raise PipelineError("--max-delta compares with a baseline: name one with --baseline MODEL")
    runners = {"model": load_runner(model, cast("Kind | None", runner), input_range=input_range)}
    if baseline is not None:
        runners["baseline"] = load_runner(baseline, input_range=baseline_input_range)
    result, delta = _measure(runners, corruptions, dataset, data_dir, limit, seed)
    tables = result["robustness"]["per_corruption"]
    gates = audit_gates(
        result["accuracy"]["model"],
        result["robustness"]["mce"]["model"],
        delta,
        {name: row["model"] for name, row in tables.items()},
        min_accuracy=min_accuracy,
        max_mce=max_mce,
        max_delta=max_delta,
        max_error=limits,
    )
    result["gates"] = [gate.model_dump() for gate in gates]
    _show(result, gates, model, baseline, delta)
    _write(result, json_file)
    return 0 if all(gate.passed for gate in gates) else 1


def _error_limits(pairs: tuple[str, ...], corruptions: list[str]) -> dict[str, float]:
    limits = {}
    for name, value in options.key_values(pairs, "--max-error").items():
        if name not in corruptions:
            raise PipelineError(f"--max-error: no corruption '{name}'{nearest(name, corruptions)}")
        try:
            limits[name] = float(value)
        except ValueError as error:
            raise PipelineError(f"--max-error {name}={value}: the limit must be a number between 0 and 1") from error
    return limits


def _measure(
    runners: dict[str, Runner],
    corruptions: list[str],
    dataset: str,
    data_dir: Path | None,
    limit: int | None,
    seed: int,
) -> tuple[dict[str, Any], Delta | None]:
    """(the contract's JSON without gates, the paired difference when there is a baseline)."""
    from flatnas.datasets import choose_images, load_dataset
    from flatnas.resize import resize
    from pipeline.audit import (
        Model,
        by_corruption,
        error_rates,
        mce,
        mean_error,
        paired_delta,
        predict_all,
    )
    from pipeline.progress import Reporter

    data = load_dataset(dataset, data_dir)
    models = {name: Model(r.classify, r.resolution) for name, r in runners.items()}
    for name, m in models.items():
        classes = m.classify(resize(data.test.pixels_nhwc[:1], m.resolution)).shape[1]
        if classes != len(data.class_names):
            raise PipelineError(
                f"the {name} has {classes} classes, and {dataset} has {len(data.class_names)}; "
                "audit it on the data it was made for"
            )
    indices = choose_images(data.test.labels, limit, seed)
    labels = data.test.labels[indices]
    with Reporter().track("auditing") as advance:
        predictions = predict_all(models, data.test, indices, corruptions, advance, seed)
    rates = {name: error_rates(p, labels) for name, p in predictions.items()}
    tables = {name: by_corruption(r, corruptions) for name, r in rates.items()}
    delta = (
        paired_delta(predictions["model"], predictions["baseline"], labels, seed=seed)
        if "baseline" in predictions
        else None
    )
    robustness: dict[str, Any] = {
        "source": "generated",
        "images": len(indices),
        "corruptions": corruptions,
        "mce": {name: mce(r, corruptions) for name, r in rates.items()},
        "mean_error": {name: mean_error(r) for name, r in rates.items()},
        "per_corruption": {c: {name: table[c] for name, table in tables.items()} for c in corruptions},
    }
    if delta is not None:
        robustness["delta"] = delta.model_dump()
    return {"accuracy": {name: 1 - float(r[0]) for name, r in rates.items()}, "robustness": robustness}, delta


def _show(result: dict[str, Any], gates: list[Gate], model: Path, baseline: Path | None, delta: Delta | None) -> None:
    from rich.console import Console

    from pipeline.report.tables import audit_table

    robustness = result["robustness"]
    console = Console(stderr=True, highlight=False)
    console.print(
        audit_table(
            model.name,
            baseline.name if baseline else None,
            result["accuracy"],
            robustness["mean_error"],
            robustness["mce"],
            robustness["per_corruption"],
            (delta.mean, delta.ci95) if delta else None,
        )
    )
    for gate in gates:
        console.print(
            f"{'[green]✓' if gate.passed else '[red]✗'}[/] {gate.name}: {gate.value:.4f}, limit {gate.limit:g}"
        )


def _write(result: dict[str, Any], json_file: Path | None) -> None:
    import json

    from pipeline.artifacts import write_json

    if json_file is None:
        return
    if str(json_file) == "-":
        click.echo(json.dumps(result, indent=1))
        return
    try:
        write_json(json_file, result)
    except OSError as error:
        raise PipelineError(f"can't write {json_file}: {error.strerror}") from error
