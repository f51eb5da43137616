"""A run made again from what it was made of, and compared byte for byte: it needs no key, and takes a run's time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hardware_profiles.profile import load_profile
from pipeline.errors import PipelineError, nearest
from pipeline.progress import Reporter
from pipeline.run_data import load_data, read_config
from pipeline.runs.facts import Origin
from pipeline.runs.layout import RUN
from pipeline.runs.places import without_place
from pipeline.runs.runner import RunRecord, other_versions, run_stages
from pipeline.runs.stage import Stage
from pipeline.values import read_value, write_value

_MOST_THREADS = 1024


def rebuilt_differently(
    stages: Sequence[Stage[Any]],
    directory: Path,
    report: Reporter,
    *,
    dataset: str | None = None,
    data_dir: Path | None = None,
    start: str | None = None,
) -> list[str]:
    """Run again into a temporary folder what a finished directory says it is, and compare.

    Measurements that the user's cache keeps are taken from there, as any run takes them.

    Args:
        dataset: where the run's own pictures lie, if not where they lay.
        start: the first stage that is run again; those before it are believed, as far as their code is the same.

    Returns:
        A line for each stage that made other files; none where all are the same.

    Raises:
        PipelineError: the data are not there or others, no stage is called `start`, or a stage fails.
    """
    names = [stage.name for stage in stages]
    if start is not None and start not in names:
        raise PipelineError(f"--from: no stage '{start}'{nearest(start, names)}; there are {', '.join(names)}")
    record, config = read_value(RunRecord, directory / RUN), read_config(directory)
    lying = config if dataset is None else replace(config, data=replace(config.data, dataset=dataset))
    data = load_data(lying, data_dir)
    if data.content_sha256 != record.identity.get("data_sha256"):
        raise PipelineError(f"the data '{data.name}' are not what {directory} was made of; name those with --dataset")
    if dataset is not None:  # under the name that the run knows them by
        data = replace(data, name=without_place(config.data.dataset))
    _compute_as(record)
    origin = Origin(config, load_profile(config.target, config.overrides), data, data_dir)
    before = stages[: names.index(start)] if start else ()
    believed = tuple(made for made in record.stages if made.name in {stage.name for stage in before})
    with TemporaryDirectory() as temporary:
        again = Path(temporary) / "run"
        again.mkdir()
        for path in (path for stage in before for path in stage.writes if (directory / path).is_file()):
            copy = again / path  # a stage's own names, never those that a run.json from anywhere tells
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(directory / path, copy)
        write_value(again / RUN, replace(record, stages=believed, adopted=()))
        run_stages(stages, again, origin, report)
        return _differences(record, read_value(RunRecord, again / RUN))


def _compute_as(record: RunRecord) -> None:
    """Share sums between as many threads as the run did: their number decides the last bits of weights."""
    import torch

    for threads in (stage.versions.get("threads", "") for stage in record.stages):
        if threads.isdecimal() and 0 < int(threads) <= _MOST_THREADS:
            os.environ["OMP_NUM_THREADS"] = threads
            torch.set_num_threads(int(threads))
            return


def _differences(before: RunRecord, after: RunRecord) -> list[str]:
    """By stage, what one run has otherwise than the other, and which versions may be why."""
    theirs, lines = {stage.name: stage for stage in before.stages}, []
    for stage in after.stages:
        recorded = theirs.get(stage.name)
        ours = {artifact.path: artifact.sha256 for artifact in stage.outputs}
        made = {artifact.path: artifact.sha256 for artifact in recorded.outputs} if recorded else {}
        if differing := sorted(path for path in ours.keys() | made.keys() if ours.get(path) != made.get(path)):
            told = other_versions(recorded.versions) if recorded else ""
            why = f" (made with {told})" if told else ""
            lines.append(f"made again, stage '{stage.name}' differs in {', '.join(differing)}{why}")
    return lines
