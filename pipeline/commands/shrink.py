"""`pipeline shrink`: a smaller int8 file of the same outputs, and the proof."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands import options
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from export.graph import Graph
    from export.shrink import Sameness, ShrunkFile
    from pipeline.results.shrink import ModelSize, ShrinkProof


@click.command()
@options.model
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The smaller file.")
@click.option(
    "--inputs",
    "count",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many random inputs both files are compared on.",
)
@options.json_file
@options.seed
def shrink(model: Path, out: Path, count: int, json_file: Path | None, seed: int) -> int:
    """Take the channels out of the int8 TFLite MODEL that no output depends on: constants, and what nothing reads.

    It is exact: both files are run on TFLite Micro, LiteRT's reference kernels and the integer interpreter.
    """
    from export.graph import ExportError
    from export.shrink import compare_files, proof_inputs
    from export.shrink import shrink as shrink_file
    from pipeline.files import write_bytes
    from pipeline.models import tflite_file
    from pipeline.progress import Reporter
    from pipeline.report.shrink_view import show
    from pipeline.values import plain

    path = tflite_file(model, "only int8 .tflite files can be shrunk")
    if out.resolve() == path.resolve():
        raise PipelineError(f"--out {out} is the model itself; name another file")
    tflite = path.read_bytes()
    try:
        shrunk = shrink_file(tflite)
    except ExportError as error:
        raise ExportError(f"{path.name}: {error}") from error
    same: tuple[Sameness, ...] = ()
    if shrunk.removed:
        with Reporter().track("comparing both files") as advance:
            same = compare_files(tflite, shrunk.content, proof_inputs(shrunk.before, count, seed), advance)
    proof = _proof(path, tflite, shrunk, same, seed)
    options.written(out, lambda: write_bytes(out, shrunk.content))
    show(proof, out)
    options.write_json_to(json_file, plain(proof))
    if same and all(row.skipped for row in same):
        raise PipelineError(f"{out} is not proved: {'; '.join(f'{row.runtime}: {row.skipped}' for row in same)}")
    return 0 if proof.equal else 1


def _proof(path: Path, tflite: bytes, shrunk: ShrunkFile, same: tuple[Sameness, ...], seed: int) -> ShrinkProof:
    from pipeline.results.shrink import ShrinkProof

    ran, differ = any(row.inputs for row in same), any(row.mismatches for row in same)
    return ShrinkProof(
        model=path.name,
        sha256=hashlib.sha256(tflite).hexdigest(),
        before=_size(shrunk.before, len(tflite)),
        after=_size(shrunk.after, len(shrunk.content)),
        removed=shrunk.removed,
        parity=same,
        seed=seed,
        equal=tflite == shrunk.content or (ran and not differ),
    )


def _size(graph: Graph, file_bytes: int) -> ModelSize:
    from export.to_ops import to_ops
    from hardware_profiles.cost.ops import macs
    from pipeline.results.shrink import ModelSize

    ops = to_ops(graph)
    return ModelSize(
        file_bytes=file_bytes,
        macs=sum(macs(op) for op in ops),
        weights=sum(op.weights for op in ops),
        channels=sum(op.output.shape[-1] for op in ops if op.output.shape),
    )
