"""What a model says about pictures: the exact preprocessing, the shipped int8 bytes, class and probability.

A picture is brought to the model's size as `model.json` tells (squeezed by area where there is none), and then is what
the file's input quantization says a pixel is.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pipeline.audits.subject import Subject
from pipeline.errors import PipelineError
from pipeline.models import find_model, model_file

if TYPE_CHECKING:
    from export.run.runners import Runner
    from flatnas.data.preparation import Resize

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Guess:
    """A class and its probability."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about one picture.

    Attributes:
        picture: its path, or `-`.
        guesses: the likeliest classes, likeliest first.
        true: the class of the folder that it lies in, where that is one of the model's.
    """

    picture: str
    guesses: tuple[Guess, ...]
    true: str | None = None

    @property
    def name(self) -> str:
        """The likeliest class."""
        return self.guesses[0].name


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says about pictures, and how they became its input.

    Attributes:
        file: the model's name.
        runner: which runtime answered.
        size: side of the input in pixels.
        resize: how a picture of another size or shape came to it.
        input: what the input is, in words.
        labels: the model's classes in the order of its outputs.
    """

    file: str
    runner: str
    size: int
    resize: str
    input: str
    labels: tuple[str, ...]
    predictions: tuple[Prediction, ...]

    @property
    def accuracy(self) -> float | None:
        """Of the pictures whose folder names their class; None where none does."""
        known = [p for p in self.predictions if p.true is not None]
        return sum(p.name == p.true for p in known) / len(known) if known else None

    @property
    def confusion(self) -> dict[str, dict[str, int]]:
        """Pictures by true class and answer, of those whose folder names their class."""
        table: dict[str, dict[str, int]] = {}
        for p in self.predictions:
            if p.true is not None:
                row = table.setdefault(p.true, {})
                row[p.name] = row.get(p.name, 0) + 1
        return table


def predict(
    model: str | Path | Subject, pictures: Sequence[str | Path], *, top: int = 3, stdin: BinaryIO | None = None
) -> Predictions:
    """Classify pictures.

    Args:
        model: a file, a run directory, or the name of a released model.
        pictures: files, folders (all pictures below), or `-` for one picture on stdin.
        top: so many classes of each picture are told.
        stdin: where `-` is read from.

    Raises:
        PipelineError: no such model, or no picture.
        DataError: a file that can't be read as a picture; names all of them.
        ExportError: the model can't be run.
    """
    subject = model if isinstance(model, Subject) else Subject(model_file(find_model(Path(model))))
    runner = subject.existing().load()
    labels, how = _facts(subject.path)
    names = _names(runner, labels)
    files = list(_files(pictures))
    if not files:
        raise PipelineError("no picture: name picture files, or folders that hold some")
    found, unreadable = [], []
    for file in files:
        try:
            pixels = _pixels(file, stdin)
        except PipelineError as error:
            unreadable.append(str(error))
            continue
        found.append(_predicted(runner, _fitted(pixels, runner.resolution, how), file, names, top))
    if unreadable:
        more = f" and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
        raise PipelineError(
            f"{len(unreadable)} of {len(files)} pictures can't be read: {'; '.join(unreadable[:5])}{more}"
        )
    said = _input(runner)
    return Predictions(subject.path.name, subject.kind, runner.resolution, how, said, names, tuple(found))


def input_of(model: str | Path | Subject, picture: str | Path) -> npt.NDArray[Any]:
    """The model's input of one picture, (1, H, W, 3) or (1, 3, H, W), in its own type: what a device must be given."""
    subject = model if isinstance(model, Subject) else Subject(model_file(find_model(Path(model))))
    runner = subject.existing().load()
    _, how = _facts(subject.path)
    return runner.encode(_fitted(_pixels(str(picture), None), runner.resolution, how)[None])


def _predicted(
    runner: Runner, pixels: npt.NDArray[np.uint8], file: str, names: tuple[str, ...], top: int
) -> Prediction:
    from pipeline.audits.worker import UnusableAnswerError, probabilities

    try:
        scores = probabilities(runner.classify(pixels[None]))[0]
    except UnusableAnswerError as error:
        raise PipelineError(f"the model's answer to {file} is unusable: {error}") from error
    order = np.argsort(-scores, kind="stable")[:top]
    folder = Path(file).parent.name
    guesses = tuple(Guess(names[i], float(scores[i])) for i in order)
    return Prediction(file, guesses, folder if folder in names else None)


def _facts(path: Path) -> tuple[tuple[str, ...], Resize]:
    """Labels and resizing as the model.json beside a file has them; without one no labels, and by area."""
    import hashlib

    from pipeline.results.model_facts import ModelFacts
    from pipeline.values import read_value

    beside = path.parent / "model.json"
    if beside.is_file():
        try:
            facts = read_value(ModelFacts, beside)
        except PipelineError:  # somebody else's file of that name
            return (), "area"
        if facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() or path.suffix == ".onnx":
            return facts.labels, facts.input.resize
    return (), "area"


def _files(named: Iterable[str | Path]) -> Iterable[str]:
    from flatnas.data.pictures import is_regular_file, readable_suffixes

    for name in named:
        path = Path(name)
        if str(name) == STDIN:
            yield STDIN
        elif path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix.lower() in readable_suffixes())
            yield from (str(p) for p in below if is_regular_file(p) and not p.name.startswith("."))
        elif path.exists():
            yield str(path)
        else:
            raise PipelineError(f"there is no picture or folder {path}")


def _pixels(file: str, stdin: BinaryIO | None) -> npt.NDArray[np.uint8]:
    """A picture, shape (H, W, 3)."""
    from flatnas.data.pictures import read_rgb, rgb_of
    from flatnas.errors import DataError

    try:
        return rgb_of(io.BytesIO(stdin.read())) if file == STDIN and stdin is not None else read_rgb(Path(file))
    except DataError as error:
        raise PipelineError(f"{file}: {error}") from error


def _fitted(pixels: npt.NDArray[np.uint8], side: int, how: Resize) -> npt.NDArray[np.uint8]:
    from flatnas.data.preparation import fitted

    return fitted(pixels, (side, side), how)


def _input(runner: Runner) -> str:
    if runner.input_range is not None:
        low, high = runner.input_range
        return f"{runner.input_dtype}, pixel 0 is {low} and pixel 255 is {high}"
    return "int8, pixel - 128" if runner.input_dtype == "int8" else f"{runner.input_dtype}, the pixel itself"


def _names(runner: Runner, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels, or numbers where there are none.

    Raises:
        PipelineError: the model is no classifier, or there are more or fewer labels than outputs.
    """
    side = runner.resolution
    _, classes = runner.classify(np.zeros((1, side, side, 3), np.uint8)).shape
    if classes == 1:
        raise PipelineError(
            "the model gives one number per picture; 'pipeline predict' takes classifiers: a score per class"
        )
    if labels and len(labels) != classes:
        raise PipelineError(f"the model has {classes} outputs, and {len(labels)} labels stand beside it")
    return labels or tuple(map(str, range(classes)))
