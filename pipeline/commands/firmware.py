"""`pipeline firmware`: a model as C for a target, and the proof that it computes the same there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands import options
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import numpy as np

    from export.graph import Graph
    from pipeline.results.firmware import FirmwareProof


@click.command()
@options.model
@click.option("--target", required=True, metavar="NAME", help="A hardware profile; 'pipeline targets' lists them.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory for the sources.")
@click.option("--emulate", "emulated", is_flag=True, help="Build for the target's core, run there, compare every byte.")
@click.option(
    "--inputs",
    "inputs_file",
    type=click.Path(path_type=Path),
    metavar="FILE.npy",
    help="int8 inputs (N, H, W, C) to run on, at least 20; else seeded random ones.",
)
@click.option("--images", default=20, show_default=True, type=click.IntRange(min=20), help="How many random inputs.")
@click.option("--no-shrink", is_flag=True, help="Keep the channels that no output depends on.")
@options.seed
def firmware(
    model: Path,
    target: str,
    out: Path,
    emulated: bool,
    inputs_file: Path | None,
    images: int,
    no_shrink: bool,
    seed: int,
) -> int:
    """Write the int8 TFLite MODEL as C sources for TARGET to OUT."""
    from export.graph import ExportError
    from hardware_profiles.profile import load_profile
    from pipeline.firmware_proof import emulate, find_tools, generate, write_package
    from pipeline.models import tflite_file

    profile = load_profile(target)
    path = tflite_file(model, "firmware is made of int8 .tflite files")
    tflite = path.read_bytes()
    try:
        sources = generate(tflite, profile, _labels(path, tflite), shrink=not no_shrink)
    except ExportError as error:
        raise ExportError(f"{path.name}: {error}") from error
    tools = find_tools(profile)
    if emulated and tools.missing:
        raise PipelineError(tools.missing)
    write_package(sources, profile, out)
    left_out = f"; dead channels left out {len(sources.removed):,}" if sources.removed else ""
    arena = sources.plan.memory.peak_bytes
    click.echo(f"{out}: arena {arena:,} bytes, {len(sources.layers)} layers{left_out}", err=True)
    if not emulated:
        return 0
    inputs = _inputs(inputs_file, sources.graph, images, seed)
    record = emulate(tflite, sources, profile, tools, inputs, out)
    _show(record)
    return 0 if all(core.mismatches == 0 for core in record.cores) else 1


def _labels(model: Path, tflite: bytes) -> tuple[str, ...]:
    """The labels in the model.json beside the file, where that is about this very file."""
    import hashlib

    facts = model.parent / "model.json"
    if not facts.is_file():
        return ()
    try:
        told = json.loads(facts.read_bytes())
        return tuple(told["labels"]) if told["sha256"] == hashlib.sha256(tflite).hexdigest() else ()
    except (ValueError, KeyError, TypeError):  # somebody else's file of that name
        return ()


def _inputs(file: Path | None, graph: Graph, images: int, seed: int) -> np.ndarray[Any, Any]:
    import numpy as np

    from pipeline.firmware_proof import MIN_INPUTS

    shape = graph.tensor(graph.inputs[0]).shape[1:]
    if file is None:
        return np.random.default_rng(seed).integers(-128, 128, (images, *shape)).astype(np.int8)
    try:
        inputs: np.ndarray[Any, Any] = np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise PipelineError(f"can't read {file}: {error}") from error
    if not isinstance(inputs, np.ndarray):
        raise PipelineError(f"{file} holds several arrays; wanted one, as numpy.save writes it")
    if inputs.dtype != np.int8 or inputs.shape[1:] != shape or len(inputs) < MIN_INPUTS:
        raise PipelineError(
            f"{file} holds {inputs.dtype} {inputs.shape}; wanted int8 (N, {', '.join(map(str, shape))}), "
            f"N at least {MIN_INPUTS}"
        )
    return inputs


def _show(record: FirmwareProof) -> None:
    from rich.console import Console

    from pipeline.report.tables import firmware_table

    console = Console(stderr=True, highlight=False)
    console.width = max(console.width, 120)
    for core in record.cores:
        console.print(firmware_table(core))
