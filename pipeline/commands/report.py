"""`pipeline report`: show a finished run's verdict again, and exit with it."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options


@click.command()
@options.run_directory
def report(directory: Path) -> int:
    """Print the verdict of RUN; the exit code repeats it."""
    from rich.console import Console

    from pipeline.commands.run import read_report
    from pipeline.report.tables import summary

    options.finished_run(directory)
    found = read_report(directory)
    Console().print(summary(found, directory))
    return 0 if found.passed else 1
