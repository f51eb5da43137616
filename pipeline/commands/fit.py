"""`pipeline fit`: does this model fit a target, and if not, by how much, and what would make it fit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands import options
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.graph import Graph
    from export.passes.dead_channels import Shrunk
    from hardware_profiles.cores import InstructionSet
    from hardware_profiles.profile import HardwareProfile
    from pipeline.fitting import PlainLayer, Smaller


@click.command()
@options.model
@options.target
@click.option(
    "--runtime",
    type=click.Choice(["firmware", "tflm", "litert"]),
    help="Whose costs to count; the target's own by default (of a float model on an MCU, TFLite Micro's).",
)
@click.option("--operators", is_flag=True, help="List each operator's share, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")
def fit(model: Path, targets: str, runtime: str | None, operators: bool, as_json: bool) -> int:
    """Say whether MODEL (TFLite or ONNX) fits TARGET; 'all' tries every target."""
    from export.passes.dead_channels import without_dead_channels
    from export.runs_on import obstacle
    from export.to_ops import to_ops
    from hardware_profiles.profile import load_profile, profile_names
    from pipeline.fitting import fit_target

    every = targets == "all"
    names = profile_names() if every else options.split_names(targets)
    profiles = [load_profile(name) for name in names]
    if every and runtime:
        profiles = [profile for profile in profiles if runtime in profile.runtimes]
    graph, content = _read(model)
    shrunk = without_dead_channels(graph)
    found = {runtime: obstacle(graph, runtime) for runtime in ("firmware", "tflm", "litert")}
    obstacles = {runtime: reason for runtime, reason in found.items() if reason}
    answer = partial(
        fit_target,
        to_ops(graph),
        runtime=runtime,
        file_bytes=None if content is None else len(content),
        obstacles=obstacles,
        per_operator=operators,
        smaller=_smaller(graph, shrunk, content),
        plain={} if "firmware" in obstacles else _plain(shrunk.graph, profiles),
    )
    answers = [answer(profile) for profile in profiles]
    if as_json:
        import json

        from pipeline.values import plain

        click.echo(json.dumps([plain(answer) for answer in answers], indent=1))
    else:
        from pipeline.report.fit_view import show

        show(answers)
    if any(not answer.complete for answer in answers):
        unknown = sorted({name for answer in answers for name in answer.unknown})
        counted = [answer.runtime for answer in answers if answer.runtime in answer.obstacles]
        reasons = [f"{name} can't run it ({obstacles[name]})" for name in dict.fromkeys(counted)]
        reasons += [f"the cost of {', '.join(unknown)} is not known"] if unknown else []
        raise PipelineError(f"the answer is incomplete: {'; '.join(reasons)}")
    return 0 if all(answer.fits for answer in answers) else 1


def _read(model: Path) -> tuple[Graph, bytes | None]:
    """(graph, the file); an ONNX file is no flash image, so its flash is estimated and it is None."""
    from export.read_onnx import read_onnx
    from export.read_tflite import read_tflite
    from pipeline.models import model_file

    model = model_file(model)
    readers = {".tflite": read_tflite, ".onnx": read_onnx}
    suffix = model.suffix.lower()
    if suffix not in readers:
        raise PipelineError(f"{model} is no model file known here; .tflite and .onnx are")
    graph = readers[suffix](model)
    if not graph.nodes:
        raise PipelineError(f"{model} holds no operator")
    return graph, model.read_bytes() if suffix == ".tflite" else None


def _smaller(graph: Graph, shrunk: Shrunk, content: bytes | None) -> Smaller | None:
    """The network without dead channels, and the size of its file as `pipeline shrink` writes it."""
    from export.to_ops import to_ops
    from export.write.edit_tflite import edit_tflite
    from pipeline.fitting import Smaller

    if not shrunk.removed:
        return None
    file_bytes = None if content is None else len(edit_tflite(content, graph, shrunk.graph))
    return Smaller(to_ops(shrunk.graph), len(shrunk.removed), file_bytes)


def _plain(graph: Graph, profiles: Sequence[HardwareProfile]) -> dict[InstructionSet, list[PlainLayer]]:
    """The firmware's layers in portable C, for each instruction set among the targets."""
    from export.write.to_c import plain_layers
    from hardware_profiles.cores import instruction_set
    from pipeline.fitting import PlainLayer

    found = {instruction_set(profile.core, profile.features) for profile in profiles}
    return {
        kernels: [PlainLayer(name=layer.title, reason=str(layer.reason)) for layer in plain_layers(graph, kernels)]
        for kernels in found
        if kernels is not None
    }
