"""Measurements of subnets on disk: stored as they come, and reused by every run that would measure the same.

The name of a file is a hash of all that a measurement depends on, of the number of threads and of libraries' versions,
too. So what is stored never changes what a run does; it only makes it faster, and a search that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flatnas.data.cifar import user_cache
from flatnas.data.dataset import Dataset
from flatnas.search.measured import Measured
from flatnas.search.search import Evaluate, Map
from flatnas.space.arch import Arch
from pipeline.errors import PipelineError
from pipeline.files import sha256_of
from pipeline.provenance import cpu_name
from pipeline.values import from_line, plain

if TYPE_CHECKING:
    from flatnas.nets.supernet import Supernet


class EvaluationStore:
    """The measurements of one supernet, data set and effort.

    Args:
        identity: JSON values of all that a measurement depends on.
        fallback: directory to store in where the user's cache can't be written, as in many a container.
    """

    def __init__(self, identity: Mapping[str, Any], *, fallback: Path) -> None:
        import cv2
        import numpy as np
        import torch

        whole = {
            **identity,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "numba": version("numba"),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "processor": cpu_name(),
        }
        name = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]
        self._path = _writable(user_cache() / "evaluations", fallback) / f"{name}.jsonl"
        self._known: dict[Arch, Measured] = {}
        for line in self._path.read_text().splitlines() if self._path.exists() else ():
            try:
                measured = from_line(Measured, line, self._path)
            except PipelineError:  # a line that a kill cut off
                continue
            self._known[measured.arch] = measured

    def get(self, arch: Arch) -> Measured | None:
        """What is known of a subnet."""
        return self._known.get(arch)

    def add(self, measured: Measured) -> Measured:
        """Store a measurement, and hand it back as it will be read."""
        line = json.dumps(plain(measured))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, f"\n{line}\n".encode())  # one write: runs side by side don't mix their lines
        finally:
            os.close(descriptor)
        self._known[measured.arch] = measured
        return measured


def stored_evaluator(
    measurement: Mapping[str, Any],
    evaluator: Callable[[Supernet, Dataset], Evaluate],
    supernet: Path,
    data: Dataset,
    *,
    fallback: Path,
) -> Evaluate:
    """What measures a subnet, unless the store knows it.

    Args:
        measurement: JSON values of all that a measurement depends on, beside the supernet and the data.
        evaluator: makes the function that measures.
        supernet: path of its file.
        fallback: as of `EvaluationStore`.
    """
    from flatnas.nets.supernet_file import load_supernet

    identity = {"supernet": sha256_of(supernet), "data": data.content_sha256, "measurement": measurement}
    return _Stored(EvaluationStore(identity, fallback=fallback), evaluator(load_supernet(supernet), data))


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    """Asks the store before it measures; can be sent to another process, where it knows what this one knows."""

    store: EvaluationStore
    evaluate: Evaluate

    def __call__(self, arch: Arch) -> Measured:
        return self.store.get(arch) or self.store.add(self.evaluate(arch))


def watched(show: Callable[[Measured], None], mapper: Map = map) -> Map:
    """The mapper, telling of each measurement as it comes."""

    def apply(function: Evaluate, archs: Iterable[Arch], /) -> Iterator[Measured]:
        for measured in mapper(function, archs):
            show(measured)
            yield measured

    return apply


def _writable(directory: Path, fallback: Path) -> Path:
    for candidate in (directory, fallback):
        try:
            candidate.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(candidate, os.W_OK):
            return candidate
    return fallback
