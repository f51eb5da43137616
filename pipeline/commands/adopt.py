"""`pipeline adopt`: keep a stage's result although the code behind it changed."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options


@click.command()
@options.run_directory
@options.data_dir
@click.option("--stage", required=True, help="Whose result is kept.")
@click.option("--because", required=True, metavar="TEXT", help="Why it still holds; run.json remembers it.")
def adopt(directory: Path, data_dir: Path | None, stage: str, because: str) -> None:
    """Keep the result of a stage of RUN, whose code or settings changed in nothing that matters.

    The next 'pipeline run' would make it again; afterwards it keeps it.
    """
    from hardware_profiles.profile import load_profile
    from pipeline.flow import STAGES
    from pipeline.run_data import load_data_as_run, read_config
    from pipeline.runs.facts import Origin
    from pipeline.runs.runner import adopt as adopt_stage

    options.existing_run(directory)
    config = read_config(directory)
    profile, data = (
        load_profile(config.target, config.overrides),
        load_data_as_run(directory, config.data.dataset, data_dir),
    )
    adopt_stage(STAGES, directory, Origin(config, profile, data, data_dir), stage, because)
    click.echo(f"stage '{stage}' of {directory} is kept: {because}", err=True)
