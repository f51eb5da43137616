"""The process that runs models: a runtime that crashes or hangs on a bad file takes this one with it, not the user's.

One JSON value per line. In comes a setup, then tasks; out go `loading`, `ready`, `did`, `result` and `failed` messages.
Answers are arrays in files, named by the task.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flatnas.data.resize import resize
from pipeline.audits.images import AuditImages
from pipeline.audits.subject import Subject

if TYPE_CHECKING:
    from export.run.runners import Runner

ANSWER = np.dtype([("label", "<i2"), ("confidence", "<f4")])
"""One prediction: the class, and the probability that the model gives it."""
_CHUNK = 64  # pictures between two signs of life
_PROBABILITY_STEP = 1 / 256  # of an int8 model's probabilities, which is why a row's sum may be off 1
_MEMORY_BYTES = 8 << 30  # of address space: a file that asks for more is damaged, and must not exhaust the machine


class UnusableAnswerError(Exception):
    """The model's outputs are no scores."""


class _RuntimeFailedError(Exception):
    """The runtime refuses pictures of the size and type that the model says it takes."""


def answers(scores: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Class and its probability of each row of scores, shape (n,); see `probabilities`.

    Raises:
        UnusableAnswerError: a score is not a finite number.
    """
    found = np.empty(len(scores), ANSWER)
    found["label"], found["confidence"] = scores.argmax(axis=1), probabilities(scores).max(axis=1)
    return found


def probabilities(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Of each class, shape (n, classes): scores that are probabilities are taken as such, logits by softmax.

    Raises:
        UnusableAnswerError: a score is not a finite number.
    """
    bad = int((~np.isfinite(scores)).any(axis=1).sum())
    if bad:
        raise UnusableAnswerError(f"{bad} of {len(scores)} answers hold NaN or infinity")
    rounded = scores.shape[1] * _PROBABILITY_STEP / 2
    if scores.min() < 0 or scores.max() > 1 or not np.allclose(scores.sum(axis=1), 1, rtol=0, atol=0.01 + rounded):
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores = scores / scores.sum(axis=1, keepdims=True)
    return scores


def classify(runner: Runner, pixels: npt.NDArray[np.uint8], tell: Callable[[int], None]) -> npt.NDArray[Any]:
    """The answers to pictures of any size, in chunks; `tell` hears how many were done."""
    found = np.empty(len(pixels), ANSWER)
    for start in range(0, len(pixels), _CHUNK):
        chunk = resize(pixels[start : start + _CHUNK], runner.resolution)
        try:
            scores = runner.classify(chunk)
        except Exception as error:  # the runtimes' exceptions share no public base
            raise _RuntimeFailedError(" ".join(f"{error}".split()) or type(error).__name__) from error
        found[start : start + _CHUNK] = answers(scores)
        tell(len(chunk))
    return found


def sender() -> Callable[..., None]:
    """A function that sends its keyword arguments to the parent; whatever a runtime prints does not mix with them."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    return send


def main() -> None:
    """Serve one parent until its end of the pipe closes."""
    limit_memory()
    send = sender()
    setup = json.loads(sys.stdin.readline())
    runners = {}
    for name, value in setup["subjects"].items():
        send(loading=name)
        try:
            runner = Subject.from_json(value).load()
            black = np.zeros((1, runner.resolution, runner.resolution, 3), np.uint8)
            classes = runner.classify(black).shape[1]
        except Exception as error:  # a damaged file makes a runtime raise almost anything
            send(failed=" ".join(f"{error}".split()) or type(error).__name__)
            return
        runners[name] = runner
        integer = runner.input_dtype != "float32"
        send(ready=name, resolution=runner.resolution, classes=classes, integer=integer)
    images = AuditImages.from_json(setup["images"])
    for line in sys.stdin:
        _do(json.loads(line), runners, images, send)


def _do(task: dict[str, Any], runners: dict[str, Runner], images: AuditImages, send: Callable[..., None]) -> None:
    from flatnas.errors import FlatnasError

    corruption, severity = variant = (task["corruption"], task["severity"])
    where = f"under {corruption} {severity}" if severity else "on the clean pictures"
    try:
        pixels = images.pictures(variant, np.array(task["indices"], np.int64), lambda: send(did=0))
        for name, file in task["answers"].items():
            send(running=f"{name} {where}")
            np.save(Path(file), classify(runners[name], pixels, lambda n: send(did=n)))
    except FlatnasError as error:
        send(failed=str(error))
    except OSError as error:
        send(failed=f"can't write answers: {error}; TMPDIR names another place")
    except UnusableAnswerError as error:
        send(failed=f"the {name} gives no usable scores {where}: {error}")
    except _RuntimeFailedError as error:
        send(failed=f"the {name} can't be run {where}: {error}")
    else:
        send(result=task["id"])


def limit_memory() -> None:
    """Make an allocation beyond the limit fail in this process."""
    try:
        import resource
    except ImportError:  # Windows
        return
    allowed = [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY]
    limit = min([_MEMORY_BYTES, *allowed])  # nobody may raise what 'ulimit -v' allows
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
