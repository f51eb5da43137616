"""`pipeline fit`: does this model fit a target, and if not, by how much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands import options
from pipeline.config import PipelineError

if TYPE_CHECKING:
    from hardware_profiles.ops import OpSpec
    from hardware_profiles.profile import HardwareProfile


@click.command()
@options.model
@options.target
@click.option(
    "--runtime", type=click.Choice(["tflm", "litert"]), help="Whose costs to count; the target's own by default."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")
def fit(model: Path, targets: str, runtime: str | None, as_json: bool) -> int:
    """Say whether MODEL (TFLite or ONNX) fits TARGET; 'all' tries every target."""
    from hardware_profiles.profile import load_profile, profile_names

    names = list(profile_names()) if targets == "all" else options.split_names(targets)
    profiles = [load_profile(name) for name in names]
    ops, size = _operators(model)
    answers = [_answer(ops, size, profile, runtime) for profile in profiles]
    if as_json:
        click.echo(json.dumps(answers, indent=1))
    else:
        _show(answers)
    if any(not answer["complete"] for answer in answers):
        unknown = sorted({op.op for op in ops if op.kind == "unknown"})
        raise PipelineError(f"the answer is incomplete: the cost of {', '.join(unknown)} is not known")
    return 0 if all(answer["fits"] for answer in answers) else 1


def _operators(model: Path) -> tuple[tuple[OpSpec, ...], int]:
    from export.graph import to_ops
    from export.read_onnx import read_onnx
    from export.read_tflite import read_tflite

    if not model.is_file():
        raise PipelineError(f"there is no file {model}")
    readers = {".tflite": read_tflite, ".onnx": read_onnx}
    if model.suffix.lower() not in readers:
        raise PipelineError(f"{model} is no model file known here; .tflite and .onnx are")
    ops = to_ops(readers[model.suffix.lower()](model))
    if not ops:
        raise PipelineError(f"{model} holds no operator")
    return ops, model.stat().st_size


def _answer(ops: tuple[OpSpec, ...], size: int, profile: HardwareProfile, runtime: str | None) -> dict[str, Any]:
    from hardware_profiles.footprint import footprint, op_costs, violations
    from pipeline.records import footprint_record

    cost = footprint(ops, profile, runtime=runtime, file_bytes=size)
    over = violations(cost, profile.budget)
    peak = next(row for row in op_costs(ops) if row.peak)
    record = footprint_record(cost).model_dump()
    return {
        "target": profile.name,
        "fits": not over and not cost.unknown,
        "runtime": record.pop("runtime"),
        "footprint": record,
        "budget": profile.budget.model_dump(),
        "violations": [{"resource": v.resource, "needs": v.needs, "has": v.has} for v in over],
        "peak_op": {"op": peak.op, "name": peak.name, "live_bytes": peak.live_bytes},
        "complete": not cost.unknown,
    }


def _show(answers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from pipeline.report.quantities import count, interval_ms, milliseconds, size

    written = {"params": count, "macs": count, "flash_bytes": size, "sram_bytes": size, "latency_ms": milliseconds}
    table = Table("target", "fits", "flash", "SRAM", "MACs", "latency", "over by", box=None, pad_edge=False)
    for a in answers:
        f, budget, ms = a["footprint"], a["budget"], a["footprint"]["latency_ms"]
        over = [
            f"{v['resource'].partition('_')[0]} {written[v['resource']](v['needs'] - v['has'])}"
            for v in a["violations"]
        ]
        table.add_row(
            a["target"],
            "[green]yes[/]" if a["fits"] else "[red]no[/]",
            f"{size(f['flash_bytes'])} of {size(budget['flash_bytes'])}",
            f"{size(f['sram_bytes'])} of {size(budget['sram_bytes'])}",
            f"{count(f['macs'])} of {count(budget['macs'])}",
            f"{interval_ms(ms['low'], ms['high'])} of {budget['latency_ms']:g}",
            ", ".join(over) or "–",
        )
    for column in table.columns:
        column.no_wrap = True
    console = Console(highlight=False)
    console.width = max(console.width, 140)  # a line per target, also where the output is piped
    console.print(table)
    peak = answers[0]["peak_op"]
    console.print(
        f"peak memory: {peak['op']}, {size(peak['live_bytes'])} of activations alive; runtime {answers[0]['runtime']}"
    )
