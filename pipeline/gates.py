"""Gates: the conditions of a verdict. A run has a fixed set, and limits are added to it; an audit has limits alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Literal

from hardware_profiles.footprint import Violation
from pipeline.audits.result import AuditResult, Classifier, Delta, Gate
from pipeline.config import GateSettings
from pipeline.results.firmware import FirmwareProof
from pipeline.results.parity import ParityRow

MAX_ACCURACY_LOSS = 0.01  # of int8 against float
MAX_DELTA = 0.02  # upper end of the interval of int8's corruption error minus float's
_ROUNDING = 1e-9  # 0.90 - 0.89 is one point, whatever floats make of it
ENOUGH_IMAGES = 20  # of a class, for a recall of 0 to be more than bad luck


def run_gates(
    violations: Sequence[Violation],
    audit: AuditResult,
    parity: Sequence[ParityRow],
    firmware: FirmwareProof | None,
    limits: GateSettings,
) -> list[Gate]:
    """The gates of a `pipeline run`; firmware has one where it was emulated.

    Args:
        audit: of the roles `int8` and `float`; without a classifier in runs of version 0.1, which had no gates for it.
        limits: that were asked for beside the fixed ones.
    """
    r, delta = audit.robustness, audit.robustness.delta
    assert delta is not None, "a run's audit has a baseline"
    loss = audit.accuracy["float"] - audit.accuracy["int8"]
    beyond = sum(not row.holds for row in parity)
    differ = [core.mismatches for core in firmware.cores] if firmware else []
    return [
        _at_most("fits the budget (resources over)", len(violations), 0),
        *(usefulness_gates(audit.classifier) if audit.classifier else []),
        _at_most("accuracy lost to int8", loss, MAX_ACCURACY_LOSS, "points"),
        _at_most("corruption error added by int8 (upper end)", delta.ci95[1], MAX_DELTA, "points"),
        _at_most("parity (runtimes out of bounds)", beyond, 0),
        *([_at_most("firmware (inputs that differ)", sum(differ), 0)] if differ else []),
        *limit_gates(
            limits,
            accuracy=audit.accuracy["int8"],
            classifier=audit.classifier,
            mce=r.mce["int8"],
            per_corruption={name: row["int8"] for name, row in r.per_corruption.items()},
        ),
    ]


def usefulness_gates(classifier: Classifier) -> list[Gate]:
    """A net is useful where it beats every constant answer, and misses no class altogether."""
    chance = 1 / sum(row.images > 0 for row in classifier.classes)
    low = classifier.ci95[0]
    better = Gate(
        name="better than one constant answer (balanced accuracy, lower end)",
        limit=chance,
        value=low,
        unit="share",
        asks="more than",
        passed=low > chance,
    )
    missed = [row.name for row in classifier.classes if row.recall == 0 and row.images >= ENOUGH_IMAGES]
    return [better, _at_most("classes never recognised", len(missed), 0, note=", ".join(missed))]


def usefulness_warnings(classifier: Classifier) -> list[str]:
    """What too few pictures leave open."""
    warnings = []
    for row in classifier.classes:
        if row.images == 0:
            warnings.append(f"class '{row.name}' has no test picture: nothing is known of it")
        elif row.recall == 0 and row.images < ENOUGH_IMAGES:
            warnings.append(f"class '{row.name}' is never recognised, in {row.images} test pictures")
    return warnings


def search_warnings(errors: Sequence[float], images: int) -> list[str]:
    """Whether the subnets that a search measured differ by more than chance.

    Args:
        errors: clean error of each.
        images: behind each error. So many draws of one error spread over about four of its standard errors.
    """
    mean, spread = fmean(errors), max(errors) - min(errors)
    if spread > 4 * sqrt(mean * (1 - mean) / images):
        return []
    return [
        f"the {len(errors)} subnets measured have errors of {min(errors):.1%} to {max(errors):.1%} on {images} "
        "validation images: too alike for the search to choose between them"
    ]


def limit_gates(
    limits: GateSettings,
    *,
    accuracy: float,
    classifier: Classifier | None,
    mce: float | None,
    per_corruption: Mapping[str, Sequence[float]],
) -> list[Gate]:
    """A gate for each limit that was given; what is limited must be known, or a gate would be missing."""
    gates = []
    if limits.min_accuracy is not None:
        gates.append(_at_least("accuracy", accuracy, limits.min_accuracy))
    recalls = {row.name: row.recall or 0.0 for row in classifier.classes} if classifier else {}
    gates += [_at_least(f"recall of {name}", recalls[name], limit) for name, limit in limits.min_recall.items()]
    if limits.max_mce is not None:
        assert mce is not None, "the mCE needs all 15 corruptions"
        gates.append(_at_most("mCE", mce, limits.max_mce, "share"))
    for name, limit in limits.max_error.items():
        gates.append(_at_most(f"error under {name}", fmean(per_corruption[name]), limit, "share"))
    return gates


def delta_gates(delta: Delta | None, max_delta: float | None) -> list[Gate]:
    """The gate on the upper end of the delta's interval, where one was asked for."""
    if max_delta is None:
        return []
    assert delta is not None, "a delta needs a baseline"
    return [_at_most("delta (upper end)", delta.ci95[1], max_delta, "points")]


def _at_most(
    name: str, value: float, limit: float, unit: Literal["share", "points", "count"] = "count", note: str = ""
) -> Gate:
    return Gate(name=name, limit=limit, value=value, unit=unit, note=note, passed=value <= limit + _ROUNDING)


def _at_least(name: str, value: float, limit: float) -> Gate:
    return Gate(name=name, limit=limit, value=value, unit="share", asks="at least", passed=value >= limit - _ROUNDING)
