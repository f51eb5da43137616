"""What the terminal shows of an audit: the table of errors, then a line for each thing worth knowing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from rich.console import Group, RenderableType
from rich.text import Text

from pipeline.audits.result import AuditResult, CalibrationTrial
from pipeline.report.budget import measured, requirement
from pipeline.report.quantities import percent, points
from pipeline.report.tables import audit_table

_SIGNIFICANT = 0.05
_NOISIEST = 3  # layers named
_SATURATED = 0.0005  # shares below 0.1 % are not worth a line


def audit_screen(result: AuditResult) -> Group:
    """An audit in one screen."""
    r = result.robustness
    models = result.models
    parts: list[RenderableType] = [Text(f"warning: {warning}", "yellow") for warning in result.warnings]
    parts.append(
        audit_table(
            models["model"].file,
            models["baseline"].file if "baseline" in models else None,
            result.accuracy,
            r.mean_error,
            r.mce,
            r.per_corruption,
            (r.delta.mean, r.delta.ci95) if r.delta else None,
        )
    )
    parts += [Text.assemble((f"{what}  ", "dim"), told) for what, told in _lines(result)]
    for gate in result.gates:
        mark, colour = ("✓", "green") if gate.passed else ("✗", "bold red")
        parts.append(
            Text.assemble((mark, colour), f" {gate.name} ", (f"{measured(gate)}, must be {requirement(gate)}", "dim"))
        )
    return Group(*parts)


def _lines(result: AuditResult) -> Iterator[tuple[str, str]]:
    r = result.robustness
    low, high = r.ci95["model"]
    what = "mCE" if r.mce["model"] is not None else "mean error"
    yield (
        "pictures",
        f"{r.images:,} of {result.dataset}, {r.source}; 95 % interval of {what} {percent(low)} to {percent(high)}",
    )
    c = result.calibration["model"]
    yield "calibration (ECE)", f"{percent(c.clean)} clean, {percent(c.corrupted)} corrupted"
    if result.classifier is not None:
        low, high = result.classifier.ci95
        yield (
            "balanced accuracy",
            f"{percent(result.classifier.balanced_accuracy, 2)}, 95 % interval {percent(low)} to {percent(high)}",
        )
        if result.classifier.roc:
            yield f"ROC of {result.classifier.roc.positive}", f"area under the curve {result.classifier.roc.auc:.3f}"
    fallen = [f"{name} {s['model']}" for name, s in r.falls_below.severity.items() if s["model"] is not None]
    yield f"accuracy under {percent(r.falls_below.accuracy, 0)} at severity", ", ".join(fallen) or "none"
    if result.comparison is not None:
        found = result.comparison
        tests = [test for row in found.mcnemar.values() for test in row]
        worse = sum(test.p_holm < _SIGNIFICANT and test.lost > test.gained for test in tests)
        better = sum(test.p_holm < _SIGNIFICANT and test.lost < test.gained for test in tests)
        yield "McNemar, Holm", f"worse in {worse}, better in {better} of {len(tests)} (corruption, severity) pairs"
        yield "answers changed", f"{found.flipped_images:,} of {r.images:,} pictures in at least one form"
        if found.normalised_mce is not None:
            relative = "–" if found.relative_mce is None else percent(found.relative_mce)
            yield "of the baseline's", f"mCE {percent(found.normalised_mce)}, relative mCE {relative}"
    if result.device is not None:
        d = result.device
        effect = points(d.mean_error_device - d.mean_error_fast, 2)
        yield (
            f"device ({d.runner})",
            f"other class on {percent(d.disagreement)} of {d.images:,} pictures, error {effect} points",
        )
    if result.layers:
        yield from _layer_lines(result)
    yield from _trial_lines(result.calibration_trials or ())


def _trial_lines(trials: Sequence[CalibrationTrial]) -> Iterator[tuple[str, str]]:
    """A line for each size and mixture of calibration sets, over its seeds."""
    sets: dict[tuple[int, str], list[CalibrationTrial]] = {}
    for trial in trials:
        sets.setdefault((trial.images, trial.mixture), []).append(trial)
    for (images, mixture), same in sets.items():
        errors = [trial.mean_error for trial in same]
        spread = f" ({percent(min(errors), 2)} to {percent(max(errors), 2)})" if len(same) > 1 else ""
        accuracy = percent(fmean(trial.accuracy for trial in same), 2)
        yield (
            f"calibrated on {images}, {mixture}",
            f"error {percent(fmean(errors), 2)}{spread}, clean top-1 {accuracy}",
        )


def _layer_lines(result: AuditResult) -> Iterator[tuple[str, str]]:
    layers = result.layers or ()
    noisy = [(min(layer.sqnr_db.values()), layer) for layer in layers if layer.sqnr_db is not None]
    for worst, layer in sorted(noisy, key=lambda pair: pair[0])[:_NOISIEST]:
        assert layer.sqnr_db is not None
        under = min(layer.sqnr_db, key=layer.sqnr_db.__getitem__)
        yield f"noisiest: {layer.name}", f"{worst:.1f} dB under {under}, {layer.sqnr_db['clean']:.1f} dB clean"
    saturated = sorted(layers, key=lambda layer: -max(layer.saturated.values()))
    for layer in saturated[:_NOISIEST]:
        if max(layer.saturated.values()) < _SATURATED:
            return
        under = max(layer.saturated, key=layer.saturated.__getitem__)
        yield (
            f"saturated: {layer.name}",
            f"{percent(layer.saturated[under])} under {under}, {percent(layer.saturated['clean'])} clean",
        )
