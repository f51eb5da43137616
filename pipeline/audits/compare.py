"""Two audits side by side, from their stored answers: nothing is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.audits.predictions import PredictionsFile
from pipeline.audits.result import AuditedModel, AuditResult
from pipeline.audits.summary import summarise
from pipeline.errors import PipelineError

_SHIPPED = ("int8", "model")  # the role compared: a run's int8 file, or the MODEL of an audit


def compare(ours: Path, theirs: Path, *, seed: int = 0, floor: float = 0.5) -> AuditResult:
    """The model of one audit as `model`, that of the other as `baseline`, on the pictures that both saw.

    Args:
        ours: a run directory, or a file that `pipeline audit --predictions` wrote; `theirs` likewise.
        seed: of the bootstrap.
        floor: `falls_below` tells the severity at which accuracy is under it.

    Raises:
        PipelineError: an audit without stored answers, or two that did not see the same pictures.
    """
    mine, other = _read(ours).common(_read(theirs))
    my_role, other_role = _shipped(mine), _shipped(other)
    names = {"model": mine.models[my_role], "baseline": other.models[other_role]}
    if names["model"] == names["baseline"]:
        names = {"model": f"{ours}: {names['model']}", "baseline": f"{theirs}: {names['baseline']}"}
    found = replace(
        mine,
        models=names,
        predictions={"model": mine.predictions[my_role], "baseline": other.predictions[other_role]},
    )
    records = {role: AuditedModel(name, None, None) for role, name in names.items()}
    return summarise(found, seed=seed, models=records, floor=floor)


def _read(path: Path) -> PredictionsFile:
    return PredictionsFile.read(path / "audit" / "predictions.npz" if path.is_dir() else path)


def _shipped(found: PredictionsFile) -> str:
    for role in _SHIPPED:
        if role in found.models:
            return role
    raise PipelineError(f"predictions of {', '.join(found.models)} name no audited model")
