"""What trainings share: a directory of their own, and what is said when one diverges."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import exclusive

# a long training's files, in a directory of its own
CHECKPOINT, HELD = "training.safetensors", "training-held.safetensors"


@contextmanager
def training_directory(directory: Path, files: Set[str], whose: str) -> Iterator[None]:
    """Keep a long training's directory to this process.

    Args:
        files: names that the training writes.
        whose: they are, for the message.

    Raises:
        PipelineError: the directory holds other files, is in use, or can't be written.
    """
    names = {p.name for p in directory.iterdir() if not p.name.startswith(".")} if directory.is_dir() else set()
    if names - files:
        raise PipelineError(f"{directory} holds other files than {whose}; name an empty or new directory with --out")
    with exclusive(directory):
        yield


@contextmanager
def divergence_told(remedy: str) -> Iterator[None]:
    """What to do, in the error of a training inside that diverges."""
    from flatnas.errors import TrainingDivergedError

    try:
        yield
    except TrainingDivergedError as error:
        raise TrainingDivergedError(f"{error}; {remedy}") from error
