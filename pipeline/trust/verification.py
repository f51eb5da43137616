"""Everything that can be said of a run directory without a key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.runs.layout import INT8_TFLITE, REPORT
from pipeline.trust.agreement import disagreements
from pipeline.trust.finished import read_finished
from pipeline.trust.listing import listing


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found.

    Attributes:
        problems: a line each; none in a directory that is as its run left it.
        summary: a line of what was looked at.
    """

    problems: tuple[str, ...]
    summary: str


def verify_run(directory: Path) -> Verified:
    """Compare a finished directory with its manifest, and where it holds a model, its files with each other.

    Raises:
        PipelineError: the manifest is damaged.
    """
    found = listing(directory)
    problems = found.problems()
    summary = f"{len(found.manifest)} files are as the run left them"
    if not {REPORT, INT8_TFLITE} & (found.manifest.keys() | found.files.keys()):
        return Verified(tuple(problems), f"{summary}; there is no report to compare them with")
    try:
        problems += disagreements(read_finished(directory, found.files))
    except PipelineError as error:
        problems.append(str(error))
    return Verified(tuple(problems), f"{summary}, and agree with each other")
