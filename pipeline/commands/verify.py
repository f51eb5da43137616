"""`pipeline verify`: are a run directory's files the ones it was finished with?"""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options


@click.command()
@options.run_directory
def verify(directory: Path) -> int:
    """Compare every file of RUN with its manifest."""
    from pipeline.files import read_object
    from pipeline.runs.layout import MANIFEST
    from pipeline.runs.manifest import artifacts_in

    options.finished_run(directory)
    expected: dict[str, str] = read_object(directory / MANIFEST)
    found = {a.path: a.sha256 for a in artifacts_in(directory)}
    problems = [f"missing: {path}" for path in expected if path not in found]
    problems += [f"changed: {path}" for path, digest in expected.items() if found.get(path, digest) != digest]
    problems += [f"not in the manifest: {path}" for path in found if path not in expected]
    for problem in problems:
        click.echo(problem)
    if not problems:
        click.echo(f"{len(expected)} files are as the run left them")
    return 1 if problems else 0
