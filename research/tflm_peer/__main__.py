"""The firmware of a model beside a user's TFLite Micro, on the same emulated core and inputs.

python -m research.tflm_peer MODEL --target NAME --tree TREE
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from pipeline.cli import main
from pipeline.commands import options
from pipeline.errors import PipelineError


@click.command()
@options.model
@click.option("--target", required=True, metavar="NAME", help="Hardware profile; its core is emulated.")
@click.option("--tree", required=True, type=click.Path(path_type=Path), help="A checkout of TFLite Micro.")
@click.option("--images", default=20, show_default=True, type=click.IntRange(min=20), help="How many random inputs.")
@options.seed
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write both proofs to a file.")
def tflm_peer(model: Path, target: str, tree: Path, images: int, seed: int, json_file: Path | None) -> int:
    """Build and run MODEL as our firmware and on TFLite Micro; compare instructions, flash and RAM."""
    import numpy as np
    from rich.console import Console

    from export.prove.proof import prove, reference_outputs
    from hardware_profiles.cores import FIRMWARE_CORES
    from hardware_profiles.profile import load_profile
    from pipeline.files import write_json
    from pipeline.firmware_proof import find_tools, generate
    from pipeline.models import model_file
    from pipeline.report.tables import firmware_table
    from pipeline.values import plain
    from research.tflm_peer.peer import cxx_compiler, find_checkout, prove_peer
    from research.tflm_peer.table import peer_table

    profile = load_profile(target)
    tflite = model_file(model).read_bytes()
    sources, tools = generate(tflite, profile), find_tools(profile)
    if tools.missing:
        raise PipelineError(tools.missing)
    cxx_compiler(tools.toolchain)
    checkout = find_checkout(tree)
    shape = sources.graph.tensor(sources.graph.inputs[0]).shape[1:]
    inputs = np.random.default_rng(seed).integers(-128, 128, (images, *shape)).astype(np.int8)
    references, core = reference_outputs(tflite, inputs), FIRMWARE_CORES[profile.core]
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as theirs:
        how = tools.toolchain, tools.emulator
        proof = prove(sources, profile.core, core, inputs, references, *how, Path(ours))
        click.echo(f"building {checkout.name}, which takes minutes", err=True)
        expected = references["integer interpreter"]
        peer = prove_peer(checkout, tflite, sources, profile.core, core, inputs, expected, *how, Path(theirs))
    if json_file is not None:
        write_json(json_file, {"firmware": plain(proof), "peer": plain(peer)})
    console = Console(stderr=True, highlight=False)
    console.width = max(console.width, 120)
    console.print(firmware_table(proof))
    console.print(peer_table(proof, peer))
    return 0 if proof.mismatches == 0 else 1


if __name__ == "__main__":
    main(tflm_peer)
