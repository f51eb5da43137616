"""The audit's JSON: what `pipeline audit --json` writes and the Python API returns (keys in docs/audit.md).

Tables have one entry per role: `model`, and `baseline` where there is one. Rates are fractions.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.results import ClassifierRecord, Delta, DeviceArithmetic, Gate


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelRecord(_Record):
    """Which file was audited, and on what."""

    file: str
    sha256: str | None
    runner: str | None


class FallsBelow(_Record):
    """The least severity at which accuracy is under a threshold, by corruption and role; null where it never is."""

    accuracy: float
    severity: dict[str, dict[str, int | None]]


class AuditRobustness(_Record):
    """Errors on the corrupted pictures.

    Attributes:
        mce: null unless all 15 standard corruptions ran.
        mean_error: over all corruptions that ran.
        ci95: interval of mCE, or of the mean error where mCE is null.
        degradation: the same mean minus the clean error.
        per_corruption: name -> role -> error at the five severities.
        delta: of mCE (else of the mean error), model minus baseline on the same pictures.
    """

    source: Literal["official", "generated"]
    images: int
    corruptions: list[str]
    mce: dict[str, float | None]
    mean_error: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    degradation: dict[str, float]
    per_corruption: dict[str, dict[str, list[float]]]
    falls_below: FallsBelow
    delta: Delta | None = None


class Calibration(_Record):
    """Expected calibration error on clean pictures, and its mean over the corrupted ones."""

    clean: float
    corrupted: float


class McNemarRecord(_Record):
    """McNemar's exact test at one severity; `p_holm` is corrected for all tests of the audit."""

    lost: int
    gained: int
    p: float
    p_holm: float


class Flipped(_Record):
    """A picture whose answers changed: how often it was lost and gained, of all its forms."""

    index: int
    label: int
    lost: int
    gained: int


class Comparison(_Record):
    """The model beside the baseline on the same pictures.

    Attributes:
        normalised_mce: mCE as a multiple of the baseline's, corruption by corruption (the paper's mCE); may be null.
        relative_mce: the same of what corruptions add to the clean error; may be null.
        mcnemar: name -> five severities.
        flipped_images: pictures with at least one changed answer.
        flipped: those that were lost most often, at most 20.
    """

    normalised_mce: float | None
    relative_mce: float | None
    mcnemar: dict[str, list[McNemarRecord]]
    flipped_images: int
    flipped: list[Flipped]


class LayerRecord(_Record):
    """One activation tensor of the int8 model.

    Attributes:
        sqnr_db: signal-to-quantization-noise ratio beside the float model, by corruption; null without a float model.
        saturated: share of values at either end of int8, by corruption.
    """

    name: str
    sqnr_db: dict[str, float] | None
    saturated: dict[str, float]


class CalibrationTrial(_Record):
    """The float model quantized anew from other calibration pictures."""

    images: int
    seed: int
    mixture: str
    accuracy: float
    mean_error: float


class AuditResult(_Record):
    """Everything an audit found."""

    dataset: str
    seed: int
    models: dict[str, ModelRecord]
    accuracy: dict[str, float]
    classifier: ClassifierRecord | None = None
    robustness: AuditRobustness
    calibration: dict[str, Calibration]
    comparison: Comparison | None = None
    device: DeviceArithmetic | None = None
    layers: list[LayerRecord] | None = None
    calibration_trials: list[CalibrationTrial] | None = None
    warnings: list[str] = []
    gates: list[Gate] = []

    def to_json(self) -> dict[str, Any]:
        """As written; parts that did not run are absent."""
        content = self.model_dump(mode="json")
        for part in ("classifier", "comparison", "device", "layers", "calibration_trials"):
            if content[part] is None:
                del content[part]
        if self.robustness.delta is None:
            del content["robustness"]["delta"]
        return content
