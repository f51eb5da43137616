"""`pipeline verify`: are a run directory's files the ones it was finished with, and do they agree with each other?"""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options


@click.command()
@options.run_directory
def verify(directory: Path) -> int:
    """Compare the files of RUN with its manifest and with each other.

    Without a key it finds whatever was changed in one place and not in all; who made the files, only a signature tells.
    """
    from export.graph import shown
    from pipeline.trust.verification import verify_run

    options.finished_run(directory)
    verified = verify_run(directory)
    for problem in verified.problems:
        click.echo(shown(problem))
    if not verified.problems:
        click.echo(verified.summary)
    return 1 if verified.problems else 0
