"""`pipeline bundle`: a run as one file that can be handed on."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options
from pipeline.errors import PipelineError


@click.command()
@options.run_directory
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The zip to write.")
def bundle(directory: Path, out: Path) -> None:
    """Write RUN, a finished run or a released model, as one zip.

    It holds the model, firmware, report, card and audit, SBOM and provenance, and the signature where there is one.
    One run gives the same bytes everywhere; 'pipeline verify' reads them.
    """
    from pipeline.trust.bundle import write_bundle
    from pipeline.trust.verification import sound_run

    options.finished_run(directory)
    if out.suffix != ".zip":
        raise PipelineError(f"--out {out}: a bundle's name ends in .zip")
    found = sound_run(directory, "bundled")
    options.written(out, lambda: write_bundle(directory, found, out))
    click.echo(f"{out} has {len(found.files)} files and {out.stat().st_size:,} bytes", err=True)
