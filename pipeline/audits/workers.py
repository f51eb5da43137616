"""Runs tasks in worker processes, one per core, and turns a crash or a hang of a runtime into one line."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.audits.images import AuditImages, Ints, Variant
from pipeline.audits.subject import Subject
from pipeline.errors import PipelineError

_SILENCE_SECONDS = 300.0  # without a sign of life from any worker: a runtime hangs
_PICTURES_PER_WORKER = 500  # fewer are not worth the second that another worker takes to start


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Pictures under one corruption, for some of the subjects."""

    variant: Variant
    indices: Ints
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model turned out to be.

    Attributes:
        resolution: side of its input in pixels.
        integer: whether its input is int8 or uint8.
    """

    resolution: int
    classes: int
    integer: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Message:
    """What a worker said; None when it has gone."""

    worker: _Worker
    content: dict[str, Any] | None


def run_tasks(
    subjects: Mapping[str, Subject],
    images: AuditImages,
    tasks: Sequence[Task],
    told: Callable[[str, Facts], None],
    did: Callable[[int, str], None],
    silence_seconds: float = _SILENCE_SECONDS,
) -> Iterator[tuple[Task, dict[str, npt.NDArray[Any]]]]:
    """Each task's answers by subject, in the order in which they come.

    Args:
        told: hears each model's facts before any task's answers; may raise to stop.
        did: hears of pictures done and the corruption they were under.

    Raises:
        PipelineError: a model can't be run, crashes its runtime, hangs, or answers nonsense.
    """
    pictures = sum(len(task.indices) * len(task.subjects) for task in tasks)
    count = max(1, min(os.cpu_count() or 1, len(tasks), pictures // _PICTURES_PER_WORKER))
    with tempfile.TemporaryDirectory(prefix="pipeline-audit-") as folder:
        clean = Path(folder, "clean.npy")
        try:
            np.save(clean, images.clean)
        except OSError as error:
            raise PipelineError(f"can't write to {folder}: {error}; TMPDIR names another place") from error
        setup = {
            "subjects": {name: subject.to_json() for name, subject in subjects.items()},
            "images": images.to_json(clean),
        }
        messages: queue.Queue[_Message] = queue.Queue()
        workers = [_Worker(Path(folder, f"log-{i}"), messages) for i in range(count)]
        try:
            yield from _serve(workers, messages, setup, subjects, tasks, Path(folder), told, did, silence_seconds)
        finally:
            for worker in workers:
                worker.stop()


def _serve(
    workers: Sequence[_Worker],
    messages: queue.Queue[_Message],
    setup: Mapping[str, Any],
    subjects: Mapping[str, Subject],
    tasks: Sequence[Task],
    folder: Path,
    told: Callable[[str, Facts], None],
    did: Callable[[int, str], None],
    silence_seconds: float,
) -> Iterator[tuple[Task, dict[str, npt.NDArray[Any]]]]:
    waiting = iter(enumerate(tasks))
    left = len(tasks)
    for worker in workers:
        worker.send(setup)
        worker.next(waiting, folder)
    while left:
        message = _next(messages, workers, silence_seconds)
        worker, content = message.worker, message.content
        if content is None:
            raise worker.failure({subject.kind for subject in subjects.values()})
        if "loading" in content:
            worker.state = f"loading the {content['loading']} ({subjects[content['loading']].path.name})"
        elif "running" in content:
            worker.state = f"running the {content['running']}"
        elif "ready" in content:
            told(content["ready"], Facts(content["resolution"], content["classes"], content["integer"]))
        elif "did" in content:
            did(content["did"], worker.note)
        elif "failed" in content:
            raise PipelineError(content["failed"])
        else:
            number = content["result"]
            task = tasks[number]
            files = _files(folder, number, task)
            yield task, {name: np.load(file) for name, file in files.items()}
            for file in files.values():
                file.unlink()
            left -= 1
            worker.next(waiting, folder)


def _next(messages: queue.Queue[_Message], workers: Sequence[_Worker], silence_seconds: float) -> _Message:
    try:
        return messages.get(timeout=silence_seconds)
    except queue.Empty:
        busy = ", ".join(worker.state for worker in workers)
        raise PipelineError(f"no sign of life for {silence_seconds:.0f} s from {busy}; it was stopped") from None


def run_inside(
    request: Mapping[str, Any], runtimes: Collection[str], did: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The layers that `pipeline.audits.inside_worker` measured in a process of its own; none where none were asked for.

    Args:
        did: hears a word about each step done.

    Raises:
        PipelineError: the models can't be run, or crash or hang a runtime.
    """
    messages: queue.Queue[_Message] = queue.Queue()
    layers: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="pipeline-audit-") as folder:
        worker = _Worker(Path(folder, "log"), messages, "pipeline.audits.inside_worker")
        worker.state = "looking into the model"
        try:
            worker.send(request)
            while True:
                content = _next(messages, [worker], _SILENCE_SECONDS).content
                if content is None:
                    raise worker.failure(runtimes)
                if "failed" in content:
                    raise PipelineError(content["failed"])
                if "done" in content:
                    return layers
                if "did" in content:
                    did(content["did"])
                layers = content.get("layers", layers)
        finally:
            worker.stop()


def _files(folder: Path, number: int, task: Task) -> dict[str, Path]:
    return {name: folder / f"{number}-{place}.npy" for place, name in enumerate(task.subjects)}


class _Worker:
    """A worker process, and a thread that reads what it says."""

    def __init__(self, log: Path, messages: queue.Queue[_Message], module: str = "pipeline.audits.worker") -> None:
        self.state = "a worker that starts"
        self.note = ""
        self._log = log
        # The child finds our packages where we found them, whatever the caller did to sys.path; -P keeps a user's own
        # export.py in the current directory from taking their place.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from {module} import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment,
            )
        self._reader = threading.Thread(target=self._read, args=(messages,), daemon=True)
        self._reader.start()

    def _read(self, messages: queue.Queue[_Message]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            messages.put(_Message(self, json.loads(line)))
        messages.put(_Message(self, None))

    def send(self, value: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # where it has gone, its reading thread says so
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()

    def next(self, waiting: Iterator[tuple[int, Task]], folder: Path) -> None:
        number, task = next(waiting, (None, None))
        if number is None or task is None:
            return
        self.note = f"{task.variant[0]} {task.variant[1] or ''}".strip()
        self.send(
            {
                "id": number,
                "corruption": task.variant[0],
                "severity": task.variant[1],
                "indices": task.indices.tolist(),
                "answers": {name: str(file) for name, file in _files(folder, number, task).items()},
            }
        )

    def failure(self, runtimes: Collection[str]) -> Exception:
        """Why it has gone: a signal is the runtime's fault, an exception ours."""
        code = self._process.wait()
        log = self._log.read_text(errors="replace").strip()
        if code < 0:
            what = signal.strsignal(-code) or f"signal {-code}"
            told = ", ".join(sorted(runtimes))
            return PipelineError(f"the runtime ({told}) crashed while {self.state}: {what}; try another --runner")
        return RuntimeError(f"an audit worker ended with code {code} while {self.state}:\n{log}")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
