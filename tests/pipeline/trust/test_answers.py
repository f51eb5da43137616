"""A report's figures against the answers to every picture, which a run keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flatnas.corruptions import CORRUPTIONS, STANDARD_15
from pipeline.audits.classifier import classifier_of
from pipeline.audits.predictions import Predictions, PredictionsFile
from pipeline.audits.summary import summarise
from pipeline.files import write_json
from pipeline.runs.manifest import write_manifest
from pipeline.trust.verification import verify_run
from pipeline.values import plain

NAMES, ROWS, IMAGES = tuple(CORRUPTIONS), 1 + 5 * len(CORRUPTIONS), 60
PREDICTIONS = "audit/predictions.npz"


def some_answers() -> PredictionsFile:
    """The true class, but for every seventh answer of the float model and every fifth of the int8 model."""
    labels = np.arange(IMAGES) % 10
    place = np.arange(ROWS * IMAGES).reshape(ROWS, IMAGES)
    confidence = np.full((ROWS, IMAGES), 0.75, np.float32)
    predictions = {
        role: Predictions(np.where(place % n == 0, (labels + 1) % 10, labels), confidence)
        for role, n in (("float", 7), ("int8", 5))
    }
    models = {"float": "a.onnx", "int8": "b.tflite"}
    return PredictionsFile(np.arange(IMAGES), labels, NAMES, "hash", "cifar10", "generated", models, predictions)


def audit_of(answers: PredictionsFile, audit: dict[str, Any], labels: list[str]) -> dict[str, Any]:
    """An audit's figures: those that a verdict rests on counted here, answer by answer, the others as audits do."""
    names = {"int8": "model", "float": "baseline"}
    predictions = {names[role]: given for role, given in answers.predictions.items()}
    renamed = replace(answers, models={"model": "b", "baseline": "a"}, predictions=predictions)
    found = summarise(renamed, seed=1, models={}, floor=0.5).with_roles({"model": "int8", "baseline": "float"})
    classifier = classifier_of(answers.predictions["int8"], answers.labels, labels, NAMES)
    wrong = {role: p.classes != answers.labels for role, p in answers.predictions.items()}
    rows = {name: range(1 + 5 * i, 6 + 5 * i) for i, name in enumerate(NAMES)}
    standard = [row for name in STANDARD_15 for row in rows[name]]
    counted = plain(replace(found, classifier=classifier)) | {"models": audit["models"], "device": None}
    counted["accuracy"] = {role: 1 - w[0].sum() / IMAGES for role, w in wrong.items()} | {"onnx": 0.8}
    counted["robustness"] |= {
        "mce": {role: float(np.mean([w[row].sum() / IMAGES for row in standard])) for role, w in wrong.items()},
        "mean_error": {role: w[1:].sum() / (ROWS - 1) / IMAGES for role, w in wrong.items()},
        "per_corruption": {
            name: {role: [w[row].sum() / IMAGES for row in rows[name]] for role, w in wrong.items()} for name in NAMES
        },
    }
    return counted


@pytest.fixture
def answered(run: Path) -> Path:
    """The run, with answers and the figures that follow from them."""
    answers = some_answers()
    answers.write(run / PREDICTIONS)
    report = json.loads((run / "report.json").read_text())
    labels = json.loads((run / "model/model.json").read_text())["labels"]
    write_json(run / "report.json", report | {"audit": audit_of(answers, report["audit"], labels)})
    write_manifest(run)
    return run


def unfounded(run: Path) -> set[str]:
    """The figures that do not follow from the answers."""
    lines = (line for line in verify_run(run).problems if line.endswith(f" does not follow from {PREDICTIONS}"))
    return {line.removeprefix("report.json: audit.").split()[0] for line in lines}


def test_figures_that_follow_from_the_answers_are_believed(answered: Path) -> None:
    assert unfounded(answered) == set()
    assert not [line for line in verify_run(answered).problems if PREDICTIONS in line and "follow" in line]


CORRUPTED = {"mce", "mean_error", "ci95", "degradation", "per_corruption", "delta"}


@pytest.mark.parametrize(
    ("row", "figures"),
    [
        (0, {"accuracy", "classifier", "calibration", "robustness.degradation", "robustness.delta"}),
        (3, {"classifier", "calibration", *(f"robustness.{name}" for name in CORRUPTED - {"ci95"})}),
    ],
    ids=["clean", "corrupted"],
)
def test_one_answer_changed_is_found_in_every_figure_that_counts_it(
    row: int, figures: set[str], answered: Path
) -> None:
    answers = some_answers()
    p = answers.predictions["int8"]
    classes = p.classes.copy()
    classes[row, 1] = (classes[row, 1] + 5) % 10
    changed = {**answers.predictions, "int8": Predictions(classes, p.confidence)}
    replace(answers, predictions=changed).write(answered / PREDICTIONS)
    found = unfounded(answered)
    assert figures - {"robustness.delta"} <= found
    assert "robustness.per_corruption" in found or row == 0
    assert "accuracy" in found or row == 3


@pytest.mark.parametrize(("shift", "believed"), [(0.05, True), (0.5, False)])
def test_an_interval_of_another_draw_is_believed_and_a_shifted_one_is_not(
    shift: float, believed: bool, answered: Path
) -> None:
    report = json.loads((answered / "report.json").read_text())
    delta = report["audit"]["robustness"]["delta"]
    low, high = delta["ci95"]
    delta["ci95"] = [low - shift * (high - low), high - shift * (high - low)]
    write_json(answered / "report.json", report)
    assert unfounded(answered) == (set() if believed else {"robustness.delta"})


def test_answers_of_other_models_or_classes_or_that_are_none_are_found(answered: Path) -> None:
    answers = some_answers()
    renamed = {"model": answers.predictions["float"], "baseline": answers.predictions["int8"]}
    beyond = {role: replace(p, classes=p.classes + 5) for role, p in answers.predictions.items()}
    for other in (
        replace(answers, models={"model": "a", "baseline": "b"}, predictions=renamed),
        replace(answers, predictions=beyond),
        replace(answers, labels=answers.labels - 1),
    ):
        other.write(answered / PREDICTIONS)
        line = f"{PREDICTIONS}: has not the models, classes and corruptions of report.json"
        assert line in verify_run(answered).problems
    (answered / PREDICTIONS).write_bytes(b"PK")
    assert f"{PREDICTIONS} is not as a run writes it" in verify_run(answered).problems
