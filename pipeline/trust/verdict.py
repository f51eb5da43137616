"""Does the verdict follow from the numbers, and the numbers from the answers?

Gates are made again from the report's figures and the limits that the run was given; the figures from the answers to
every picture, where `audit/predictions.npz` is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isclose
from typing import Any

from hardware_profiles.footprint import violations
from hardware_profiles.profile import Budget, ProfileError, load_profile
from pipeline.audits.classifier import classifier_of
from pipeline.audits.predictions import PredictionsFile
from pipeline.audits.result import AuditResult, Gate
from pipeline.audits.summary import summarise
from pipeline.errors import PipelineError
from pipeline.gates import run_gates
from pipeline.runs.layout import PREDICTIONS, REPORT, RUN
from pipeline.trust.finished import FinishedRun
from pipeline.values import plain

_OLD = "0.1.0"  # its runs had no classifier, and their gates no units
_SAME = 1e-9  # floats that were written to JSON and read again
_SAME_INTERVAL = 0.1  # of its width: another version of numpy may draw other resamples
_ROLES = {"model": "int8", "baseline": "float"}  # of an audit, and what they are in a run
_NOT_IN_ANSWERS = ("models", "device", "layers", "calibration_trials", "warnings", "gates")


def of_the_verdict(run: FinishedRun) -> Iterator[str]:
    """Budget, gates and verdict against the numbers they rest on."""
    report = run.report
    limits: dict[str, Any] = dict(report.budget)
    over = violations(report.footprint, Budget.model_construct(**limits))
    if report.fits != (not over):
        yield f"{REPORT}: fits is {report.fits}, and {', '.join(v.resource for v in over) or 'nothing'} is over budget"
    yield from _budget(run)
    lacking = _lacking(run)
    if lacking:
        yield f"{REPORT}: has no figures of {', '.join(lacking)}, for the gates"
    else:
        yield from _gates(run, run_gates(over, report.audit, report.parity, report.firmware, run.config.gates))
    if report.passed != all(gate.passed for gate in report.gates):
        failed = [gate.name for gate in report.gates if not gate.passed]
        yield f"{REPORT}: passed is {report.passed}, and {', '.join(failed) or 'no gate'} failed"
    if PREDICTIONS in run.files and not lacking:
        yield from _answers(run)


def _budget(run: FinishedRun) -> Iterator[str]:
    """The budgets that `--set` gave; the others are the profile's, which may be another by now."""
    overrides, told = run.config.overrides, run.report.budget
    try:
        asked = load_profile(run.config.target, overrides).budget.model_dump()
    except ProfileError:
        return  # a profile of the user's own that is not here
    for key in (key.removeprefix("budget.") for key in overrides if key.startswith("budget.")):
        if told[key] != asked[key]:
            yield f"{REPORT}: budget.{key} is {told[key]:,}, {RUN} asked for {asked[key]:,}"


def _lacking(run: FinishedRun) -> list[str]:
    """What this run's gates rest on and the report does not have."""
    audit, limits = run.report.audit, run.config.gates
    classes = audit.classifier.classes if audit.classifier else ()
    found = [*(limits.min_recall.keys() - {row.name for row in classes})]
    found += limits.max_error.keys() - audit.robustness.per_corruption.keys()
    if limits.max_mce is not None and audit.robustness.mce["int8"] is None:
        found.append("the mCE")
    if audit.classifier is None and run.made_by().get("flatnas-deploy") != _OLD:
        found.append("the classes")
    elif audit.classifier and not any(row.images for row in classes):
        found.append("pictures of any class")
    return sorted(found)


def _gates(run: FinishedRun, expected: Sequence[Gate]) -> Iterator[str]:
    """Each gate by its name: none missing, none added, none with another value, limit or outcome."""
    found = {gate.name: gate for gate in run.report.gates}
    if len(found) != len(run.report.gates):
        yield f"{REPORT}: two gates have one name"
    wanted = {gate.name: gate for gate in expected}
    yield from (f"{REPORT}: the gate '{name}' is missing" for name in wanted.keys() - found.keys())
    yield from (f"{REPORT}: nothing asks for the gate '{name}'" for name in found.keys() - wanted.keys())
    for name, gate in found.items():
        if name in wanted:
            yield from _gate(gate, wanted[name], worded=run.report.audit.classifier is not None)


def _gate(gate: Gate, by: Gate, *, worded: bool) -> Iterator[str]:
    for key in ("value", "limit"):
        told, follows = getattr(gate, key), getattr(by, key)
        if not isclose(told, follows, abs_tol=_SAME):
            yield f"{REPORT}: the {key} of the gate '{gate.name}' is {told:.6g}, its numbers give {follows:.6g}"
    if gate.passed != by.passed:
        outcomes = ["passed" if outcome else "failed" for outcome in (gate.passed, by.passed)]
        yield f"{REPORT}: the gate '{gate.name}' {outcomes[0]}, its numbers say that it {outcomes[1]}"
    if worded and (gate.asks, gate.unit, gate.note) != (by.asks, by.unit, by.note):
        yield f"{REPORT}: the gate '{gate.name}' asks '{gate.asks}' in '{gate.unit}', not '{by.asks}' in '{by.unit}'"


def _answers(run: FinishedRun) -> Iterator[str]:
    """The audit's figures against the class and confidence that each model gave to each picture."""
    audit, names = run.report.audit, {role: other for other, role in _ROLES.items()}
    try:
        found = PredictionsFile.read(run.directory / PREDICTIONS)
    except PipelineError:
        yield f"{PREDICTIONS} is not as a run writes it"
        return
    wrong = set(found.predictions) != names.keys() or found.corruptions != audit.robustness.corruptions
    classes = len(run.model.labels)
    if wrong or not _are_classes([found.labels, *(p.classes for p in found.predictions.values())], classes):
        yield f"{PREDICTIONS}: has not the models, classes and corruptions of {REPORT}"
        return
    answers = replace(
        found,
        models={names[role]: file for role, file in found.models.items()},
        predictions={names[role]: given for role, given in found.predictions.items()},
    )
    floor = audit.robustness.falls_below.accuracy
    follows = summarise(answers, seed=run.config.seed, models={}, floor=floor).with_roles(_ROLES)
    if audit.classifier:
        int8 = found.predictions["int8"]
        follows = replace(follows, classifier=classifier_of(int8, found.labels, run.model.labels, found.corruptions))
    yield from (f"{REPORT}: {where} does not follow from {PREDICTIONS}" for where in _unlike(audit, follows))


def _are_classes(values: Sequence[Any], classes: int) -> bool:
    return all(array.size > 0 and array.min() >= 0 and array.max() < classes for array in values)


def _unlike(told: AuditResult, follows: AuditResult) -> list[str]:
    """The parts of an audit that differ, as `audit.robustness.mce`."""
    told = replace(told, accuracy={role: right for role, right in told.accuracy.items() if role != "onnx"})
    ours, theirs = plain(told), plain(follows)
    parts = [key for key in ours if key not in (*_NOT_IN_ANSWERS, "robustness")]
    found = [f"audit.{key}" for key in parts if not _close(ours[key], theirs[key])]
    inner = [key for key in ours["robustness"] if not _close(ours["robustness"][key], theirs["robustness"][key])]
    return found + [f"audit.robustness.{key}" for key in inner]


def _close(told: Any, follows: Any, key: str = "") -> bool:
    """Equal but for the last digits, of numbers in equal lists and mappings; intervals by a tenth of their width."""
    match told, follows:
        case dict(), dict():
            same = told.keys() == follows.keys()
            return same and all(_close(value, follows[k], key if key == "ci95" else k) for k, value in told.items())
        case [float(), float()], [float() as low, float() as high] if key == "ci95":
            tolerance = _SAME_INTERVAL * (high - low) + _SAME
            return all(isclose(a, b, abs_tol=tolerance) for a, b in zip(told, follows, strict=True))
        case list(), list():
            return len(told) == len(follows) and all(map(_close, told, follows))
        case ((int() | float()), (int() | float())):
            return isclose(told, follows, abs_tol=_SAME)
        case _:
            return bool(told == follows)
