"""The audit's JSON: what `pipeline audit --json` writes and the Python API returns (keys in docs/audit.md).

Tables have one entry per role: `model`, and `baseline` where there is one; in a run's report `int8` and `float`. Rates
are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One condition of the verdict.

    Attributes:
        unit: `share` is a fraction, shown as a percentage; `points` a difference of two; `count` a number of things.
        asks: on which side of the limit a value passes.
        note: what the value is about, such as the classes that are missed; may be empty.
    """

    name: str
    limit: float
    value: float
    unit: Literal["share", "points", "count"] = "count"
    asks: Literal["at most", "at least", "more than"] = "at most"
    note: str = ""
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """One class on the clean test images audited; a rate of nothing is null.

    Attributes:
        images: of the class.
        recall: share of its images that are recognised.
        precision: share of the answers for it that are right.
        f1: harmonic mean of both; 0 where it is never recognised.
        recall_under: mean recall over the severities of each corruption.
    """

    name: str
    images: int
    recall: float | None
    recall_ci95: tuple[float, float] | None
    precision: float | None
    precision_ci95: tuple[float, float] | None
    f1: float | None
    recall_under: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RocPoint:
    """What a threshold on the probability of the positive class gives: its recall, and the share of false alarms."""

    threshold: float
    recall: float
    false_alarms: float


@dataclass(frozen=True, slots=True)
class Roc:
    """Of two classes: every threshold between never and always saying `positive`.

    Attributes:
        positive: the second class.
        auc: area under the curve; 0.5 is chance.
        points: at most 50 of them.
    """

    positive: str
    auc: float
    points: tuple[RocPoint, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """Where answers below a confidence are rejected: the share that is kept, and how often that is right."""

    confidence: float
    share: float
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """What a model does class by class on the test images audited.

    Attributes:
        accuracy_ci95: 95 % interval of the clean accuracy.
        balanced_accuracy: mean recall of the classes that have images.
        ci95: its 95 % interval.
        classes: in the order of the outputs.
        confusion: images by true class (row) and answer (column).
        balanced_error: by corruption, 1 minus the mean recall over classes and severities.
        balanced_mce: its mean over the 15 standard corruptions; null where they did not all run.
        roc: of two classes.
        rejection: at several confidences.
    """

    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float
    ci95: tuple[float, float]
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    balanced_error: Mapping[str, float]
    balanced_mce: float | None
    roc: Roc | None
    rejection: tuple[Kept, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """The model minus the baseline, of mCE, or of the mean error without one; positive is worse.

    The interval is a bootstrap by clean image.
    """

    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceArithmetic:
    """The device's kernels beside XNNPACK's on the same corrupted images.

    Attributes:
        runner: which kernels (`firmware`, `tflm`).
        images: corrupted images, in all.
        disagreement: share of images whose predicted class differs.
        mean_error_fast: of XNNPACK's kernels on these images.
        mean_error_device: of the device's.
        accuracy_fast: of XNNPACK's on the clean images; null where the device's kernels saw a sample only.
    """

    runner: str
    images: int
    disagreement: float
    mean_error_fast: float
    mean_error_device: float
    accuracy_fast: float | None = None


@dataclass(frozen=True, slots=True)
class AuditedModel:
    """Which file was audited, and on what."""

    file: str
    sha256: str | None
    runner: str | None


@dataclass(frozen=True, slots=True)
class FallsBelow:
    """The least severity at which accuracy is under a threshold, by corruption and role; null where it never is."""

    accuracy: float
    severity: Mapping[str, Mapping[str, int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
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
    corruptions: tuple[str, ...]
    mce: Mapping[str, float | None]
    mean_error: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    degradation: Mapping[str, float]
    per_corruption: Mapping[str, Mapping[str, tuple[float, ...]]]
    falls_below: FallsBelow
    delta: Delta | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected calibration error on clean pictures, and its mean over the corrupted ones."""

    clean: float
    corrupted: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's exact test of one pair of models; `p_holm` is corrected for all tests of the audit.

    Attributes:
        lost: pictures that the baseline had right and the model has not.
        gained: the reverse.
    """

    lost: int
    gained: int
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class Flipped:
    """A picture whose answers changed: how often it was lost and gained, of all its forms."""

    index: int
    label: int
    lost: int
    gained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
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
    mcnemar: Mapping[str, tuple[McNemar, ...]]
    flipped_images: int
    flipped: tuple[Flipped, ...]


@dataclass(frozen=True, slots=True)
class LayerNoise:
    """One activation tensor of the int8 model.

    Attributes:
        sqnr_db: signal-to-quantization-noise ratio beside the float model, by corruption; null without a float model.
        saturated: share of values at either end of int8, by corruption.
    """

    name: str
    sqnr_db: Mapping[str, float] | None
    saturated: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationTrial:
    """The float model quantized anew from other calibration pictures."""

    images: int
    seed: int
    mixture: str
    accuracy: float
    mean_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """Everything an audit found; what did not run is null."""

    dataset: str
    seed: int
    models: Mapping[str, AuditedModel]
    accuracy: Mapping[str, float]
    classifier: Classifier | None = None
    robustness: Robustness
    calibration: Mapping[str, Calibration]
    comparison: Comparison | None = None
    device: DeviceArithmetic | None = None
    layers: tuple[LayerNoise, ...] | None = None
    calibration_trials: tuple[CalibrationTrial, ...] | None = None
    warnings: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As written; parts that did not run are absent."""
        from pipeline.values import plain

        content: dict[str, Any] = plain(self)
        for part in ("comparison", "device", "layers", "calibration_trials"):
            if content[part] is None:
                del content[part]
        if self.robustness.delta is None:
            del content["robustness"]["delta"]
        return content

    def with_roles(self, names: Mapping[str, str]) -> AuditResult:
        """The same with other names for its roles.

        Args:
            names: new name by old name.
        """

        def renamed(table: Mapping[str, T]) -> dict[str, T]:
            return {names.get(role, role): value for role, value in table.items()}

        r = self.robustness
        severity = {name: renamed(row) for name, row in r.falls_below.severity.items()}
        return replace(
            self,
            models=renamed(self.models),
            accuracy=renamed(self.accuracy),
            calibration=renamed(self.calibration),
            robustness=replace(
                r,
                mce=renamed(r.mce),
                mean_error=renamed(r.mean_error),
                ci95=renamed(r.ci95),
                degradation=renamed(r.degradation),
                per_corruption={name: renamed(row) for name, row in r.per_corruption.items()},
                falls_below=replace(r.falls_below, severity=severity),
            ),
        )
