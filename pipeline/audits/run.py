"""One audit from model files to a result: the Python API, and what the command line calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from flatnas.corruptions import CORRUPTIONS
from flatnas.data.dataset import Dataset, choose_images
from flatnas.data.registry import load_dataset
from pipeline.audits.cache import Cache
from pipeline.audits.chance import chance_warning, near_chance
from pipeline.audits.classifier import classifier_of
from pipeline.audits.device import compared, device_arithmetic, device_kernels
from pipeline.audits.images import CLEAN, AuditImages, Ints, OfficialFiles
from pipeline.audits.inside import Inside
from pipeline.audits.predictions import PredictionsFile, Progress, Request, predict, predict_all
from pipeline.audits.request import AuditRequest, Source
from pipeline.audits.result import AuditedModel, AuditResult, Gate
from pipeline.audits.subject import Subject
from pipeline.audits.summary import summarise
from pipeline.audits.workers import Facts
from pipeline.errors import PipelineError

log = logging.getLogger(__name__)

Track = Callable[[str], AbstractContextManager[Progress]]
_DEFAULTS = AuditRequest()
PREDICTIONS_LIMIT_BYTES = 500_000_000


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

    def clean_accuracy(self, subject: Subject) -> float:
        """Of another model on the clean pictures of this audit."""
        indices, labels = self.predictions.indices, self.predictions.labels
        store = Cache(cache_folder() / "predictions", PREDICTIONS_LIMIT_BYTES)
        requests = [Request("other", CLEAN, indices)]
        (answers,) = predict({"other": subject}, self.images, requests, store, lambda *_: None, lambda *_: None)
        return float((answers["label"] == labels).mean())

    def with_gates(self, gates: Sequence[Gate]) -> Audit:
        """The same with a verdict."""
        return replace(self, result=replace(self.result, gates=tuple(gates)))


def audit(
    model: str | Path | Subject,
    baseline: str | Path | Subject | None = None,
    request: AuditRequest = _DEFAULTS,
    *,
    data: Dataset | None = None,
    beside: Subject | None = None,
    data_dir: Path | None = None,
    track: Track = lambda what: nullcontext(lambda done, total, note: None),
) -> Audit:
    """Measure a model (TFLite or ONNX, float or int8), alone or beside a baseline on the same pictures.

    Args:
        data: what the request names, where it is loaded already.
        beside: the model's file on other kernels, which see the same pictures; how far they are apart is `device`.
        track: shows progress, given what is going on.

    Raises:
        PipelineError: a model that can't be audited on this data.
        FlatnasError: data that is missing or damaged.
    """
    subjects = {"model": _subject(model)} | ({} if baseline is None else {"baseline": _subject(baseline)})
    data = load_dataset(request.dataset, data_dir) if data is None else data
    seed, names = request.seed, tuple(request.corruptions or CORRUPTIONS)
    indices = choose_images(data.test.labels, request.limit, seed)
    labels = data.test.labels[indices]
    official = official_source(data.name, data_dir, request.source, names, data.test.labels)
    pixels = Cache(cache_folder() / "pixels", request.cache_limit_bytes)
    images = AuditImages(data.test.pixels_nhwc, seed, official, pixels)
    store = Cache(cache_folder() / "predictions", PREDICTIONS_LIMIT_BYTES if request.cache_limit_bytes else 0)
    inside = Inside(subjects, images, indices, labels, names, data.train, store)
    inside.check(request.layers, bool(request.calibration_sizes))

    facts: dict[str, Facts] = {}

    def told(role: str, found: Facts) -> None:
        facts[role] = found
        if role in subjects:  # the other is the model's own file
            _check_classes(role, found.classes, data)

    with track("auditing") as progress:
        others = {} if beside is None else {"beside": beside}
        every = predict_all(subjects | others, images, indices, names, store, told, progress)
    predictions = {role: every[role] for role in subjects}
    files = {role: subject.path.name for role, subject in subjects.items()}
    dataset = Path(data.name).name  # a folder is where it is; its content is in the digest
    found = PredictionsFile(indices, labels, names, images.digest, dataset, images.source, files, predictions)
    records = {role: AuditedModel(s.path.name, s.sha256(), s.kind) for role, s in subjects.items()}
    result = summarise(found, seed=seed, models=records, floor=request.floor)
    warnings = _resized({role: facts[role] for role in subjects}, data.test.pixels_nhwc.shape[1:3])
    for role, subject in subjects.items():
        accuracy, classes = result.accuracy[role], facts[role].classes
        if near_chance(accuracy, classes):
            told_of = chance_warning(subject, accuracy, classes, images, indices, labels, store)
            warnings.append(f"the {role} {told_of}")
    device = None
    if beside is not None:
        device = compared(subjects["model"].kind, predictions["model"], every["beside"], labels)
    elif request.device_images and facts["model"].integer and subjects["model"].kind == "litert":
        on_device = replace(subjects["model"], runner=device_kernels(subjects["model"].path))
        seen = predictions["model"], images, indices, labels, names
        try:
            with track("the device's arithmetic") as progress:
                device = device_arithmetic(on_device, *seen, request.device_images, store, progress)
        except PipelineError as error:
            warnings.append(f"the device's arithmetic was not compared: {error}")
    with track("the layers") as progress:
        looked_into = inside.layers(progress) if request.layers else None
    with track("calibration sets") as progress:
        trials = inside.trials(request.calibration_sizes, progress) if request.calibration_sizes else None
    warnings += inside.layers_warning() if request.layers else []
    classifier = classifier_of(predictions["model"], labels, data.class_names, names)
    result = replace(
        result,
        classifier=classifier,
        device=device,
        layers=looked_into,
        calibration_trials=trials,
        warnings=tuple(warnings),
    )
    return Audit(result, found, images, data.class_names)


def _check_classes(role: str, classes: int, data: Dataset) -> None:
    wanted = len(data.class_names)
    if classes == 1:
        raise PipelineError(f"the {role} gives one number per picture; the audit takes classifiers: a score per class")
    if classes != wanted:
        raise PipelineError(
            f"the {role} has {classes} classes, and {data.name} has {wanted}; audit it on the data it was made for "
            "(--dataset)"
        )


def cache_folder() -> Path:
    """Where corrupted pictures and predictions are kept."""
    from flatnas.data.cifar import user_cache

    return user_cache() / "audit"


def _subject(model: str | Path | Subject) -> Subject:
    return (model if isinstance(model, Subject) else Subject(Path(model))).existing()


def official_source(
    dataset: str, data_dir: Path | None, source: Source, names: Sequence[str], labels: Ints
) -> OfficialFiles | None:
    """The verified official files of a data set's corrupted form; None where they are not wanted or not here.

    Args:
        labels: of the whole test set, whose order the files must have.

    Raises:
        DataError: they are damaged.
        PipelineError: they are wanted and not here.
    """
    if source == "generated":
        return None
    from flatnas.data.cifar_c import check_corrupted, check_labels, find_corrupted, identity

    found = find_corrupted(dataset, data_dir)
    if found is not None:
        check_corrupted(found, dataset, names)
        check_labels(found, labels)
        return OfficialFiles(found, identity(found, dataset))
    if source == "official":
        raise PipelineError(
            f"the official corrupted files of {dataset} are not on this machine: 'pipeline data fetch cifar10c' (or "
            "cifar100c) gets them, and --source generated makes them"
        )
    return None


def _resized(facts: dict[str, Facts], native: tuple[int, ...]) -> list[str]:
    return [
        f"the {role} takes pictures of {f.resolution}x{f.resolution}: these of {native[0]}x{native[1]} are corrupted "
        "at their own size and resized"
        for role, f in facts.items()
        if (f.resolution, f.resolution) != tuple(native)
    ]
