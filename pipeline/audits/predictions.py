"""What models say about pictures: computed once, then kept, so that a second audit or a comparison runs nothing.

A file of predictions (.npz) holds everything a comparison needs: which pictures, their labels, and the class and
confidence that each model gave them, clean and under every corruption and severity.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from pipeline.audits.cache import Cache
from pipeline.audits.images import AuditImages, Ints, Variant, variants
from pipeline.audits.subject import Subject
from pipeline.audits.worker import ANSWER
from pipeline.audits.workers import Facts, Task, run_tasks
from pipeline.errors import PipelineError
from pipeline.files import write_bytes

Progress = Callable[[int, int, str], None]
_DAMAGED = (  # what numpy and zipfile raise on files that are none of ours, or no longer
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    BadZipFile,
    zlib.error,
    struct.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What one model said: row 0 is the clean images, then five severities of each corruption in turn.

    Attributes:
        classes: predicted class, shape (1 + 5 * corruptions, images).
        confidence: its probability, the same shape.
    """

    classes: Ints
    confidence: npt.NDArray[np.float32]

    def take(self, columns: Ints) -> Predictions:
        """Of these images only."""
        return Predictions(self.classes[:, columns], self.confidence[:, columns])

    @staticmethod
    def stack(rows: Sequence[npt.NDArray[Any]]) -> Predictions:
        """From one array of answers per row."""
        answers = np.stack(rows)
        return Predictions(answers["label"].astype(np.int64), answers["confidence"].astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One subject's answers to pictures under one corruption."""

    subject: str
    variant: Variant
    indices: Ints


def predict(
    subjects: Mapping[str, Subject],
    images: AuditImages,
    requests: Sequence[Request],
    store: Cache,
    told: Callable[[str, Facts], None],
    progress: Progress,
) -> list[npt.NDArray[Any]]:
    """The answers to each request, in order; only what the store lacks is computed.

    Args:
        told: hears each model's facts before anything is computed with it; may raise to stop.

    Raises:
        PipelineError: a model can't be run or answers nonsense.
    """
    keys, unknown = {name: subject.key() for name, subject in subjects.items()}, set(subjects)
    for name, key in keys.items():
        known = store.load(f"{key}-facts")
        if known is not None:
            told(name, Facts(int(known[0]), int(known[1]), bool(known[2])))
            unknown.remove(name)
    found = [_stored(store, keys[r.subject], images, r) for r in requests]
    for place, request in enumerate(requests):
        if request.subject in unknown:  # one request is computed again, so that the model is heard
            unknown.remove(request.subject)
            found[place] = None
    missing: dict[tuple[Variant, bytes], list[int]] = {}
    for place, (request, answers) in enumerate(zip(requests, found, strict=True)):
        if answers is None:
            missing.setdefault((request.variant, request.indices.tobytes()), []).append(place)
    tasks = [
        Task(requests[places[0]].variant, requests[places[0]].indices, tuple(requests[p].subject for p in places))
        for places in missing.values()
    ]
    by_task = dict(zip(map(id, tasks), missing.values(), strict=True))
    total = sum(len(request.indices) for request in requests)
    done = total - sum(len(task.indices) * len(task.subjects) for task in tasks)

    def hear(name: str, facts: Facts) -> None:
        store.save(f"{keys[name]}-facts", np.array([facts.resolution, facts.classes, facts.integer], int))
        told(name, facts)

    def did(count: int, note: str) -> None:
        nonlocal done
        done += count
        progress(done, total, note)

    needed = {name: subjects[name] for task in tasks for name in task.subjects}
    for task, answers_of in run_tasks(needed, images, tasks, hear, did) if tasks else ():
        for place in by_task[id(task)]:
            name = requests[place].subject
            found[place] = answers_of[name]
            store.save(f"{keys[name]}-{images.key(task.variant, task.indices)}", answers_of[name])
    progress(total, total, "")
    return [answers for answers in found if answers is not None]


def predict_all(
    subjects: Mapping[str, Subject],
    images: AuditImages,
    indices: Ints,
    corruptions: Sequence[str],
    store: Cache,
    told: Callable[[str, Facts], None],
    progress: Progress,
) -> dict[str, Predictions]:
    """Every subject on the chosen images, clean and under each corruption and severity."""
    rows = variants(list(corruptions))
    requests = [Request(name, variant, indices) for variant in rows for name in subjects]
    answers = predict(subjects, images, requests, store, told, progress)
    return {name: Predictions.stack(answers[place :: len(subjects)]) for place, name in enumerate(subjects)}


def _stored(store: Cache, key: str, images: AuditImages, request: Request) -> npt.NDArray[Any] | None:
    """The answers kept for these very pictures, or those among the answers to all pictures."""
    answers = store.load(f"{key}-{images.key(request.variant, request.indices)}")
    if answers is None:
        every = store.load(f"{key}-{images.key(request.variant, np.arange(len(images.clean)))}")
        answers = None if every is None else every[request.indices]
    return answers if answers is not None and answers.dtype == ANSWER else None


@dataclass(frozen=True, slots=True, eq=False)
class PredictionsFile:
    """Predictions of one or two models on the same pictures.

    Attributes:
        indices: of the pictures in their test set, ascending.
        pictures: a hash of the test set, seed and source: files with the same one saw the same pictures.
        models: file name by role (`model`, `baseline`; in a run directory `int8`, `float`).
    """

    indices: Ints
    labels: Ints
    corruptions: tuple[str, ...]
    pictures: str
    dataset: str
    source: Literal["official", "generated"]
    models: Mapping[str, str]
    predictions: Mapping[str, Predictions]

    def write(self, path: Path) -> None:
        """Write the .npz, whole or not at all."""
        arrays: dict[str, Any] = {
            "indices": self.indices,
            "labels": self.labels,
            "corruptions": np.array(self.corruptions),
            "pictures": np.array(self.pictures),
            "dataset": np.array(self.dataset),
            "source": np.array(self.source),
            "models": np.array(json.dumps(dict(self.models))),
        }
        for name, p in self.predictions.items():
            arrays |= {f"{name}_classes": p.classes.astype(np.int16), f"{name}_confidence": p.confidence}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_bytes(path, buffer.getvalue())

    @staticmethod
    def read(path: Path) -> PredictionsFile:
        """Read what `write` wrote.

        Raises:
            PipelineError: it is no such file, or a damaged one.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                models = json.loads(str(file["models"]))
                predictions = {
                    name: Predictions(file[f"{name}_classes"].astype(np.int64), file[f"{name}_confidence"])
                    for name in models
                }
                corruptions = tuple(str(name) for name in file["corruptions"])
                shape = (len(variants(corruptions)), len(file["indices"]))
                if any(p.classes.shape != shape or p.confidence.shape != shape for p in predictions.values()):
                    raise ValueError(f"answers are not of shape {shape}")
                return PredictionsFile(
                    file["indices"].astype(np.int64),
                    file["labels"].astype(np.int64),
                    corruptions,
                    str(file["pictures"]),
                    str(file["dataset"]),
                    "official" if str(file["source"]) == "official" else "generated",
                    models,
                    predictions,
                )
        except _DAMAGED as error:
            reason = (isinstance(error, OSError) and error.strerror) or "another format, or damaged"
            raise PipelineError(
                f"{path} holds no predictions of an audit ({reason}); 'pipeline audit --predictions FILE' writes them"
            ) from error

    def common(self, other: PredictionsFile) -> tuple[PredictionsFile, PredictionsFile]:
        """Both on the pictures and corruptions that they share.

        Raises:
            PipelineError: they share none, or did not see the same pictures.
        """
        if self.pictures != other.pictures:
            raise PipelineError(
                "the two audits did not see the same pictures: data set, seed or source of the corruptions differ"
            )
        corruptions = tuple(name for name in self.corruptions if name in other.corruptions)
        indices, ours, theirs = np.intersect1d(self.indices, other.indices, return_indices=True)
        if not len(indices) or not corruptions:
            raise PipelineError("the two audits share no pictures under the same corruption")
        return self._take(ours, corruptions), other._take(theirs, corruptions)

    def _take(self, columns: Ints, corruptions: tuple[str, ...]) -> PredictionsFile:
        mine = variants(list(self.corruptions))
        rows = np.array([mine.index(variant) for variant in variants(list(corruptions))])
        taken = {
            name: Predictions(p.classes[rows][:, columns], p.confidence[rows][:, columns])
            for name, p in self.predictions.items()
        }
        return replace(
            self,
            indices=self.indices[columns],
            labels=self.labels[columns],
            corruptions=corruptions,
            predictions=taken,
        )
