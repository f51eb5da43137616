"""A report's rates against the answers to every picture, which a run keeps."""

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
from pipeline.audits.statistics import paired_delta
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
    confidence = np.ones((ROWS, IMAGES), np.float32)
    predictions = {
        role: Predictions(np.where(place % n == 0, (labels + 1) % 10, labels), confidence)
        for role, n in (("float", 7), ("int8", 5))
    }
    models = {"float": "a.onnx", "int8": "b.tflite"}
    return PredictionsFile(np.arange(IMAGES), labels, NAMES, "hash", "cifar10", "generated", models, predictions)


def figures(answers: PredictionsFile) -> dict[str, Any]:
    """Accuracy, robustness and classifier as a report tells them, counted answer by answer."""
    wrong = {role: p.classes != answers.labels for role, p in answers.predictions.items()}
    rows = {name: range(1 + 5 * i, 6 + 5 * i) for i, name in enumerate(NAMES)}
    standard = [row for name in STANDARD_15 for row in rows[name]]
    return {
        "accuracy": {role: 1 - w[0].sum() / IMAGES for role, w in wrong.items()},
        "mce": {role: float(np.mean([w[row].sum() / IMAGES for row in standard])) for role, w in wrong.items()},
        "mean_error": {role: w[1:].sum() / (ROWS - 1) / IMAGES for role, w in wrong.items()},
        "per_corruption": {
            name: {role: [w[row].sum() / IMAGES for row in rows[name]] for role, w in wrong.items()} for name in NAMES
        },
    }


@pytest.fixture
def answered(run: Path) -> Path:
    """The run, with answers and the figures that follow from them."""
    answers = some_answers()
    answers.write(run / PREDICTIONS)
    report = json.loads((run / "report.json").read_text())
    found = figures(answers)
    audit = report["audit"]
    audit["accuracy"] |= found["accuracy"]
    delta = paired_delta(answers.predictions["int8"], answers.predictions["float"], answers.labels, NAMES, 1)
    audit["robustness"] |= {key: found[key] for key in ("mce", "mean_error", "per_corruption")}
    audit["robustness"] |= {"corruptions": list(NAMES), "delta": plain(delta)}
    classes = json.loads((run / "model/model.json").read_text())["labels"]
    audit["classifier"] = plain(classifier_of(answers.predictions["int8"], answers.labels, classes, NAMES))
    write_json(run / "report.json", report)
    write_manifest(run)
    return run


def about_answers(run: Path) -> list[str]:
    return [problem for problem in verify_run(run).problems if PREDICTIONS in problem and "not follow" in problem]


def test_figures_that_follow_from_the_answers_are_believed(answered: Path) -> None:
    assert about_answers(answered) == []


def test_one_answer_changed_is_found_in_every_figure_that_counts_it(answered: Path) -> None:
    answers = some_answers()
    p = answers.predictions["int8"]
    for row, figures_of in (
        (0, {"accuracy", "classifier"}),
        (3, {"classifier", "mce", "mean_error", "per_corruption", "delta"}),
    ):
        classes = p.classes.copy()
        classes[row, 1] = (classes[row, 1] + 5) % 10
        changed = {**answers.predictions, "int8": Predictions(classes, p.confidence)}
        replace(answers, predictions=changed).write(answered / PREDICTIONS)
        told = " ".join(about_answers(answered))
        every = ("accuracy", "classifier", "mce", "mean_error", "per_corruption", "delta")
        assert {name for name in every if name in told} == figures_of
        assert "of float" not in told


def test_an_interval_of_another_draw_is_believed_and_a_shifted_one_is_not(answered: Path) -> None:
    report = json.loads((answered / "report.json").read_text())
    low, high = report["audit"]["robustness"]["delta"]["ci95"]
    for shift, believed in ((0.05, True), (0.5, False)):
        width = shift * (high - low)
        report["audit"]["robustness"]["delta"]["ci95"] = [low - width, high - width]
        write_json(answered / "report.json", report)
        assert (about_answers(answered) == []) == believed


def test_answers_of_other_models_or_that_are_none_are_found(answered: Path) -> None:
    answers = some_answers()
    renamed = {"model": answers.predictions["float"], "baseline": answers.predictions["int8"]}
    replace(answers, models={"model": "a", "baseline": "b"}, predictions=renamed).write(answered / PREDICTIONS)
    assert f"{PREDICTIONS}: has not the models and corruptions of report.json" in verify_run(answered).problems
    (answered / PREDICTIONS).write_bytes(b"PK")
    assert f"{PREDICTIONS} is not as a run writes it" in verify_run(answered).problems
