"""One audit from model files to a result: the Python API, and what the command line calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from flatnas.corruptions import CORRUPTIONS
from flatnas.data.dataset import Dataset, choose_images
from flatnas.data.registry import load_dataset
from pipeline.audit.cache import Cache
from pipeline.audit.chance import chance_warning, near_chance
from pipeline.audit.classifier import classifier_record
from pipeline.audit.device import compared, device_arithmetic, device_kernels
from pipeline.audit.images import CLEAN, AuditImages, Ints, OfficialFiles
from pipeline.audit.inside import Inside
from pipeline.audit.predictions import PredictionsFile, Progress, Request, predict, predict_all
from pipeline.audit.result import AuditResult, ModelRecord
from pipeline.audit.subject import Subject
from pipeline.audit.summary import summarise
from pipeline.audit.workers import Facts
from pipeline.errors import PipelineError
from pipeline.results import Gate

log = logging.getLogger(__name__)

Source = Literal["auto", "official", "generated"]
Track = Callable[[str], AbstractContextManager[Progress]]
CACHE_LIMIT_BYTES = 4_000_000_000  # CIFAR-10's test set under 15 corruptions has 2.3 GB
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
        return replace(self, result=self.result.model_copy(update={"gates": list(gates)}))


def audit(
    model: str | Path | Subject,
    baseline: str | Path | Subject | None = None,
    *,
    beside: Subject | None = None,
    dataset: str | Dataset = "cifar10",
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
        beside: the model's file on other kernels, which see the same pictures; how far they are apart is `device`.
        dataset: its name or its folder, whose pictures are taken at their own size; or the data, loaded.
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
    data = dataset if isinstance(dataset, Dataset) else load_dataset(dataset, data_dir)
    indices = choose_images(data.test.labels, limit, seed)
    labels = data.test.labels[indices]
    names = tuple(CORRUPTIONS if corruptions is None else corruptions)
    official = official_source(data.name, data_dir, source, names, data.test.labels)
    pixels = Cache(cache_folder() / "pixels", cache_limit_bytes)
    images = AuditImages(data.test.pixels_nhwc, seed, official, pixels)
    store = Cache(cache_folder() / "predictions", PREDICTIONS_LIMIT_BYTES if cache_limit_bytes else 0)
    inside = Inside(subjects, images, indices, labels, names, data.train, store)
    inside.check(layers, bool(calibration_sizes))

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
    found = PredictionsFile(indices, labels, names, images.digest, data.name, images.source, files, predictions)
    records = {role: ModelRecord(file=s.path.name, sha256=s.sha256(), runner=s.kind) for role, s in subjects.items()}
    result = summarise(found, seed=seed, models=records, floor=floor)
    warnings = _resized({role: facts[role] for role in subjects}, data.test.pixels_nhwc.shape[1:3])
    for role, subject in subjects.items():
        accuracy, classes = result.accuracy[role], facts[role].classes
        if near_chance(accuracy, classes):
            told_of = chance_warning(subject, accuracy, classes, images, indices, labels, store)
            warnings.append(f"the {role} {told_of}")
    device = None
    if beside is not None:
        device = compared(subjects["model"].kind, predictions["model"], every["beside"], labels)
    elif device_images and facts["model"].integer and subjects["model"].kind == "litert":
        on_device = replace(subjects["model"], runner=device_kernels(subjects["model"].path))
        seen = predictions["model"], images, indices, labels, names
        try:
            with track("the device's arithmetic") as progress:
                device = device_arithmetic(on_device, *seen, device_images, store, progress)
        except PipelineError as error:
            warnings.append(f"the device's arithmetic was not compared: {error}")
    with track("the layers") as progress:
        looked_into = inside.layers(progress) if layers else None
    with track("calibration sets") as progress:
        trials = inside.trials(calibration_sizes, progress) if calibration_sizes else None
    warnings += inside.layers_warning() if layers else []
    classifier = classifier_record(predictions["model"].classes[0], labels, data.class_names)
    parts = {
        "classifier": classifier,
        "device": device,
        "layers": looked_into,
        "calibration_trials": trials,
        "warnings": warnings,
    }
    return Audit(result.model_copy(update=parts), found, images, data.class_names)


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
