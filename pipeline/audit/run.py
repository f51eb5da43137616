"""One audit from model files to a result: the Python API, and what the command line calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from flatnas.corruptions import CORRUPTIONS
from flatnas.datasets import choose_images, load_dataset
from pipeline.artifacts import sha256_of
from pipeline.audit.cache import Cache
from pipeline.audit.device import device_arithmetic, device_kernels
from pipeline.audit.images import CLEAN, AuditImages, Ints
from pipeline.audit.inside import Inside
from pipeline.audit.predictions import PredictionsFile, Progress, Request, predict, predict_all
from pipeline.audit.result import AuditResult, ModelRecord
from pipeline.audit.subject import Subject, normalised_range
from pipeline.audit.summary import summarise
from pipeline.audit.workers import Facts
from pipeline.config import PipelineError
from pipeline.results import Gate

log = logging.getLogger(__name__)

Source = Literal["auto", "official", "generated"]
Track = Callable[[str], AbstractContextManager[Progress]]
CACHE_LIMIT_BYTES = 4_000_000_000  # CIFAR-10's test set under 15 corruptions has 2.3 GB
PREDICTIONS_LIMIT_BYTES = 500_000_000
_PROBED_IMAGES = 200
_TIED = 0.05  # of two input ranges that are about as good, the simpler is named


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """A finished audit.

    Attributes:
        result: its numbers, as `--json` writes them.
        predictions: every answer behind them.
        images: the pictures, to look at some of them again.
    """

    result: AuditResult
    predictions: PredictionsFile
    images: AuditImages
    class_names: tuple[str, ...]

    def with_gates(self, gates: Sequence[Gate]) -> Audit:
        """The same with a verdict."""
        return replace(self, result=self.result.model_copy(update={"gates": list(gates)}))


def audit(
    model: str | Path | Subject,
    baseline: str | Path | Subject | None = None,
    *,
    dataset: str = "cifar10",
    data_dir: Path | None = None,
    limit: int | None = None,
    corruptions: Sequence[str] | None = None,
    source: Source = "auto",
    seed: int = 0,
    floor: float = 0.5,
    device_images: int = 1000,
    layers: bool = False,
    calibration_sizes: Sequence[int] = (),
    cache_limit_bytes: int = CACHE_LIMIT_BYTES,
    track: Track = lambda what: nullcontext(lambda done, total, note: None),
) -> Audit:
    """Measure a model (TFLite or ONNX, float or int8), alone or beside a baseline on the same pictures.

    Args:
        limit: a stratified random subset of so many test pictures.
        corruptions: names in `flatnas.corruptions.CORRUPTIONS`; all by default.
        source: of the corrupted pictures; `auto` takes the official files where they are on this machine.
        floor: `falls_below` tells the severity at which accuracy is under it.
        device_images: corrupted pictures, in all, that an int8 TFLite model also sees on the device's kernels.
        layers: look into the int8 model: noise beside its float ONNX where one is given, and saturation.
        calibration_sizes: quantize the float ONNX anew from so many calibration pictures.
        cache_limit_bytes: of generated pictures kept on disk; 0 keeps nothing.
        track: shows progress, given what is going on.

    Raises:
        PipelineError: a model that can't be audited on this data.
        FlatnasError: data that is missing or damaged.
    """
    subjects = {"model": _subject(model)} | ({} if baseline is None else {"baseline": _subject(baseline)})
    for subject in subjects.values():
        if not subject.path.is_file():
            raise PipelineError(f"there is no file {subject.path}")
    data = load_dataset(dataset, data_dir)
    indices = choose_images(data.test.labels, limit, seed)
    labels = data.test.labels[indices]
    names = tuple(CORRUPTIONS if corruptions is None else corruptions)
    caches = cache_folder()
    official = official_source(data.name, data_dir, source, names, data.test.labels)
    images = AuditImages(data.test.pixels_nhwc, seed, official, Cache(caches / "pixels", cache_limit_bytes))
    store = Cache(caches / "predictions", PREDICTIONS_LIMIT_BYTES if cache_limit_bytes else 0)

    facts: dict[str, Facts] = {}

    def told(role: str, found: Facts) -> None:
        facts[role] = found
        if found.classes != len(data.class_names):
            raise PipelineError(
                f"the {role} has {found.classes} classes, and {data.name} has {len(data.class_names)}; "
                "audit it on the data it was made for"
            )

    with track("auditing") as progress:
        predictions = predict_all(subjects, images, indices, names, store, told, progress)
    files = {role: subject.path.name for role, subject in subjects.items()}
    found = PredictionsFile(indices, labels, names, images.digest, data.name, images.source, files, predictions)
    records = {
        role: ModelRecord(file=s.path.name, sha256=sha256_of(s.path), runner=s.kind) for role, s in subjects.items()
    }
    result = summarise(found, seed=seed, models=records, floor=floor)
    warnings = _resized(facts, data.test.pixels_nhwc.shape[1:3])
    for role, subject in subjects.items():
        warnings += _near_chance(role, subject, result.accuracy[role], images, indices, labels, facts[role], store)
    device = None
    if device_images and facts["model"].integer and subjects["model"].kind == "litert":
        try:
            with track("the device's arithmetic") as progress:
                device = device_arithmetic(
                    replace(subjects["model"], runner=device_kernels()),
                    predictions["model"],
                    images,
                    indices,
                    labels,
                    names,
                    device_images,
                    store,
                    progress,
                )
        except PipelineError as error:
            warnings.append(f"the device's arithmetic was not compared: {error}")
    inside = Inside(subjects, images, indices, labels, names, data.train, store)
    with track("the layers") as progress:
        looked_into = inside.layers(progress) if layers else None
    with track("calibration sets") as progress:
        trials = inside.trials(calibration_sizes, progress) if calibration_sizes else None
    parts = {"device": device, "layers": looked_into, "calibration_trials": trials, "warnings": warnings}
    return Audit(result.model_copy(update=parts), found, images, data.class_names)


def cache_folder() -> Path:
    """Where corrupted pictures and predictions are kept."""
    from flatnas.cifar import user_cache

    return user_cache() / "audit"


def _subject(model: str | Path | Subject) -> Subject:
    return model if isinstance(model, Subject) else Subject(Path(model))


def official_source(
    dataset: str, data_dir: Path | None, source: Source, names: Sequence[str], labels: Ints
) -> Path | None:
    """The verified official files of a data set's corrupted form; None where they are not wanted or not here.

    Args:
        labels: of the whole test set, whose order the files must have.

    Raises:
        DataError: they are damaged.
        PipelineError: they are wanted and not here.
    """
    if source == "generated":
        return None
    from flatnas.cifar_c import check_corrupted, check_labels, find_corrupted

    found = find_corrupted(dataset, data_dir)
    if found is not None:
        check_corrupted(found, dataset, names)
        check_labels(found, labels)
    elif source == "official":
        raise PipelineError(
            f"the official corrupted files of {dataset} are not on this machine: 'pipeline data fetch cifar10c' (or "
            "cifar100c) gets them, and --source generated makes them"
        )
    return found


def _resized(facts: dict[str, Facts], native: tuple[int, ...]) -> list[str]:
    return [
        f"the {role} takes pictures of {f.resolution}x{f.resolution}: these of {native[0]}x{native[1]} are corrupted "
        "at their own size and resized"
        for role, f in facts.items()
        if (f.resolution, f.resolution) != tuple(native)
    ]


def _near_chance(
    role: str,
    subject: Subject,
    accuracy: float,
    images: AuditImages,
    indices: Ints,
    labels: Ints,
    facts: Facts,
    store: Cache,
) -> list[str]:
    """A warning for a model that guesses, with the input range under which it does not."""
    chance = 1 / facts.classes
    if accuracy > 2 * chance:
        return []
    some = choose_images(labels, _PROBED_IMAGES, 0)
    ranges = {
        "--input-range 0 255": (0.0, 255.0),
        "--input-range 0 1": (0.0, 1.0),
        "--input-range -1 1": (-1.0, 1.0),
        "--input-range -128 127": (-128.0, 127.0),
        "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225": normalised_range(
            (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        ),
        "--mean 0.4914,0.4822,0.4465 --std 0.247,0.2435,0.2616": normalised_range(
            (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
        ),
    }
    told = (
        f"the {role} ({subject.path.name}) is near chance: {accuracy:.1%} on clean pictures of {facts.classes} classes"
    )
    try:
        trials = {option: replace(subject, input_range=levels) for option, levels in ranges.items()}
        requests = [Request(option, CLEAN, indices[some]) for option in trials]
        answers = predict(trials, images, requests, store, lambda *_: None, lambda *_: None)
    except PipelineError:
        return [f"{told}; it may expect another input (--input-range, --mean and --std, --layout) or other data"]
    scores = {option: float(np.mean(a["label"] == labels[some])) for option, a in zip(trials, answers, strict=True)}
    best = next(option for option, score in scores.items() if score >= max(scores.values()) - _TIED)
    if scores[best] > max(2 * chance, 2 * accuracy):
        return [f"{told}; it probably expects {best}, which gives {scores[best]:.1%} on {len(some)} pictures"]
    return [f"{told}, and no usual input range helps: is this the data it was made for? (--layout, --dataset)"]
