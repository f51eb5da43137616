"""Does the verdict follow from the numbers, and the numbers from the answers?

Gates are made again from the report's figures and the limits that the run was given; the figures from the answers to
every picture, where `audit/predictions.npz` is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isclose
from typing import Any

from hardware_profiles.footprint import Violation, needs
from hardware_profiles.profile import ProfileError, load_profile
from pipeline.audits.classifier import classifier_of
from pipeline.audits.predictions import PredictionsFile
from pipeline.audits.result import Delta, Gate
from pipeline.audits.statistics import by_corruption, error_rates, mce, mean_error, paired_delta
from pipeline.errors import PipelineError
from pipeline.gates import limit_gates, run_gates
from pipeline.report.run_report import RunReport
from pipeline.runs.layout import PREDICTIONS, REPORT, RUN
from pipeline.trust.finished import FinishedRun
from pipeline.values import plain

_SAME = 1e-9  # floats that were written to JSON and read again
_SAME_INTERVAL = 0.1  # of its width: another version of numpy may draw other resamples


def of_the_verdict(run: FinishedRun) -> Iterator[str]:
    """Budget, gates and verdict against the numbers they rest on."""
    report = run.report
    over = _over_budget(report)
    if report.fits != (not over):
        yield f"{REPORT}: fits is {report.fits}, and {', '.join(v.resource for v in over) or 'nothing'} is over budget"
    yield from _budget(run)
    try:
        yield from _gates(run, _expected_gates(run))
    except PipelineError as error:
        yield str(error)
    if report.passed != all(gate.passed for gate in report.gates):
        failed = [gate.name for gate in report.gates if not gate.passed]
        yield f"{REPORT}: passed is {report.passed}, and {', '.join(failed) or 'no gate'} failed"
    if PREDICTIONS in run.files:
        yield from _answers(run)


def _over_budget(report: RunReport) -> list[Violation]:
    """What the report's footprint needs more of than its budget has."""
    has = report.budget
    return [Violation(name, need, has[name]) for name, need in needs(report.footprint).items() if need > has[name]]


def _budget(run: FinishedRun) -> Iterator[str]:
    """The budgets that `--set` gave; the others are the profile's, which may be another by now."""
    overrides = run.config.overrides
    try:
        asked = load_profile(run.config.target, overrides).budget.model_dump()
    except ProfileError:
        return  # a profile of the user's own that is not here
    told = run.report.budget
    for key in (key.removeprefix("budget.") for key in overrides if key.startswith("budget.")):
        if told[key] != asked[key]:
            yield f"{REPORT}: budget.{key} is {told[key]:,}, {RUN} asked for {asked[key]:,}"


def _expected_gates(run: FinishedRun) -> list[Gate]:
    """What the run's code makes of the report's numbers.

    Raises:
        PipelineError: the report lacks a number that a gate needs.
    """
    report, limits, audit = run.report, run.config.gates, run.report.audit
    errors = {name: row["int8"] for name, row in audit.robustness.per_corruption.items()}
    classes = {row.name for row in audit.classifier.classes} if audit.classifier else set()
    lacking = [*(limits.min_recall.keys() - classes), *(limits.max_error.keys() - errors.keys())]
    if limits.max_mce is not None and audit.robustness.mce["int8"] is None:
        lacking.append("the mCE")
    if audit.classifier is None and audit.calibration:  # audits of version 0.1 had neither
        lacking.append("the classes")
    elif audit.classifier and not any(row.images for row in audit.classifier.classes):
        lacking.append("pictures of any class")
    if lacking:
        raise PipelineError(f"{REPORT}: has no figures of {', '.join(sorted(lacking))}, for the gates")
    over = _over_budget(report)
    return [
        *run_gates(over, audit, report.parity, report.firmware),
        *limit_gates(
            limits,
            accuracy=audit.accuracy["int8"],
            classifier=audit.classifier,
            mce=audit.robustness.mce["int8"],
            per_corruption=errors,
        ),
    ]


def _gates(run: FinishedRun, expected: Sequence[Gate]) -> Iterator[str]:
    """Each gate by its name: none missing, none added, none with another value, limit or outcome."""
    found = {gate.name: gate for gate in run.report.gates}
    if len(found) != len(run.report.gates):
        yield f"{REPORT}: two gates have one name"
    wanted = {gate.name: gate for gate in expected}
    yield from (f"{REPORT}: the gate '{name}' is missing" for name in wanted.keys() - found.keys())
    yield from (f"{REPORT}: nothing asks for the gate '{name}'" for name in found.keys() - wanted.keys())
    for name, gate in found.items():
        if name not in wanted:
            continue
        by = wanted[name]
        for key in ("value", "limit"):
            told, follows = getattr(gate, key), getattr(by, key)
            if not isclose(told, follows, abs_tol=_SAME):
                yield f"{REPORT}: the {key} of the gate '{name}' is {told:.6g}, its numbers give {follows:.6g}"
        if gate.passed != by.passed:
            yield f"{REPORT}: the gate '{name}' {_outcome(gate.passed)}, its numbers say that it {_outcome(by.passed)}"
        if run.report.audit.calibration and (gate.asks, gate.unit, gate.note) != (by.asks, by.unit, by.note):
            yield f"{REPORT}: the gate '{name}' asks '{gate.asks}' in '{gate.unit}', not '{by.asks}' in '{by.unit}'"


def _outcome(passed: bool) -> str:
    return "passed" if passed else "failed"


def _answers(run: FinishedRun) -> Iterator[str]:
    """The report's rates against the class that each model gave to each picture."""
    try:
        answers = PredictionsFile.read(run.directory / PREDICTIONS)
    except PipelineError:
        yield f"{PREDICTIONS} is not as a run writes it"
        return
    audit, names, labels = run.report.audit, answers.corruptions, answers.labels
    robustness = audit.robustness
    if set(answers.predictions) != {"float", "int8"} or names != robustness.corruptions:
        yield f"{PREDICTIONS}: has not the models and corruptions of {REPORT}"
        return
    rates = {role: error_rates(p, labels) for role, p in answers.predictions.items()}
    told: dict[str, Any] = {
        "accuracy": {role: audit.accuracy[role] for role in rates},
        "mce": robustness.mce,
        "mean_error": robustness.mean_error,
        "per_corruption": {
            role: {name: row[role] for name, row in robustness.per_corruption.items()} for role in rates
        },
    }
    follows: dict[str, Any] = {
        "accuracy": {role: 1 - float(r[0]) for role, r in rates.items()},
        "mce": {role: mce(r, names) for role, r in rates.items()},
        "mean_error": {role: mean_error(r) for role, r in rates.items()},
        "per_corruption": {role: by_corruption(r, names) for role, r in rates.items()},
    }
    for figure, values in told.items():
        for role, value in values.items():
            if not _close(value, follows[figure][role]):
                yield f"{REPORT}: {figure} of {role} does not follow from {PREDICTIONS}"
    counted = classifier_of(answers.predictions["int8"], labels, run.model.labels, names)
    if audit.classifier and not _close(plain(audit.classifier), plain(counted)):
        yield f"{REPORT}: classifier does not follow from {PREDICTIONS}"
    delta = paired_delta(answers.predictions["int8"], answers.predictions["float"], labels, names, run.config.seed)
    if robustness.delta is None or not _same_delta(robustness.delta, delta):
        yield f"{REPORT}: robustness.delta does not follow from {PREDICTIONS}"


def _close(told: Any, follows: Any) -> bool:
    """Equal but for the last digits, of numbers in equal lists and mappings."""
    match told, follows:
        case dict(), dict():
            return told.keys() == follows.keys() and all(_close(told[key], follows[key]) for key in told)
        case ((list() | tuple()), (list() | tuple())):
            return len(told) == len(follows) and all(map(_close, told, follows))
        case ((int() | float()), (int() | float())):
            return isclose(told, follows, abs_tol=_SAME)
        case _:
            return bool(told == follows)


def _same_delta(told: Delta, follows: Delta) -> bool:
    tolerance = _SAME_INTERVAL * (follows.ci95[1] - follows.ci95[0]) + _SAME
    ends = zip(told.ci95, follows.ci95, strict=True)
    return isclose(told.mean, follows.mean, abs_tol=_SAME) and all(isclose(a, b, abs_tol=tolerance) for a, b in ends)
