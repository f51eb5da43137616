"""From predictions to the audit's result: nothing is run here, so that a comparison costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from flatnas.corruptions import SEVERITIES
from pipeline.audits.predictions import Predictions, PredictionsFile
from pipeline.audits.result import (
    AuditedModel,
    AuditResult,
    Calibration,
    Comparison,
    FallsBelow,
    Flipped,
    Robustness,
)
from pipeline.audits.statistics import (
    Float64Array,
    by_corruption,
    calibration,
    counted_rows,
    error_rates,
    falls_below,
    flips,
    mce,
    mcnemar,
    mean_error,
    mean_error_interval,
    normalised_mce,
    paired_delta,
    relative_mce,
)

T = TypeVar("T")
_FLIPPED_LISTED = 20


def summarise(
    found: PredictionsFile,
    *,
    seed: int,
    models: Mapping[str, AuditedModel],
    floor: float,
) -> AuditResult:
    """The result of an audit whose roles are `model` and perhaps `baseline`.

    Args:
        floor: the accuracy that `falls_below` asks about.
    """
    labels, corruptions = found.labels, found.corruptions
    rates = {role: error_rates(p, labels) for role, p in found.predictions.items()}
    counted = counted_rows(corruptions)
    paired = "baseline" in found.predictions
    robustness = Robustness(
        source=found.source,
        images=len(found.indices),
        corruptions=corruptions,
        mce={role: mce(r, corruptions) for role, r in rates.items()},
        mean_error={role: mean_error(r) for role, r in rates.items()},
        ci95={role: mean_error_interval(p, labels, corruptions, seed) for role, p in found.predictions.items()},
        degradation={role: float(r[counted].mean() - r[0]) for role, r in rates.items()},
        per_corruption=_by_role({role: by_corruption(r, corruptions) for role, r in rates.items()}, corruptions),
        falls_below=FallsBelow(
            accuracy=floor,
            severity=_by_role({role: falls_below(r, corruptions, floor) for role, r in rates.items()}, corruptions),
        ),
        delta=paired_delta(found.predictions["model"], found.predictions["baseline"], labels, corruptions, seed)
        if paired
        else None,
    )
    errors = {role: calibration(p, labels) for role, p in found.predictions.items()}
    return AuditResult(
        dataset=found.dataset,
        seed=seed,
        models=dict(models),
        accuracy={role: 1 - float(r[0]) for role, r in rates.items()},
        robustness=robustness,
        calibration={role: Calibration(float(e[0]), float(e[counted].mean())) for role, e in errors.items()},
        comparison=_comparison(found, rates) if paired else None,
    )


def _by_role(tables: Mapping[str, Mapping[str, T]], corruptions: Sequence[str]) -> dict[str, dict[str, T]]:
    return {name: {role: table[name] for role, table in tables.items()} for name in corruptions}


def _comparison(found: PredictionsFile, rates: Mapping[str, Float64Array]) -> Comparison:
    model, baseline = found.predictions["model"], found.predictions["baseline"]
    tests = mcnemar(model, baseline, found.labels)
    return Comparison(
        normalised_mce=normalised_mce(rates["model"], rates["baseline"], found.corruptions),
        relative_mce=relative_mce(rates["model"], rates["baseline"], found.corruptions),
        mcnemar={
            name: tuple(tests[len(SEVERITIES) * i : len(SEVERITIES) * (i + 1)])
            for i, name in enumerate(found.corruptions)
        },
        flipped_images=int(np.count_nonzero(np.add(*flips(model, baseline, found.labels)))),
        flipped=_most_flipped(found, model, baseline),
    )


def _most_flipped(found: PredictionsFile, model: Predictions, baseline: Predictions) -> tuple[Flipped, ...]:
    lost, gained = flips(model, baseline, found.labels)
    order = np.lexsort((found.indices, -gained, -lost))[:_FLIPPED_LISTED]
    return tuple(
        Flipped(int(found.indices[i]), int(found.labels[i]), int(lost[i]), int(gained[i]))
        for i in order
        if lost[i] or gained[i]
    )
