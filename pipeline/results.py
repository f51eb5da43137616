"""`report.json` and the audit's JSON: the contract with CI and other programs (keys as documented in docs/report.md).

Rates are fractions in [0, 1]; sizes are bytes; latencies milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flatnas.search.measured import gaussian_name

SCHEMA = 1

Number = float  # some records have a field named `float`


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Latency(_Record):
    """Milliseconds: bounds and middle of the interval."""

    low: float
    mid: float
    high: float


class FootprintRecord(_Record):
    """What a network costs on the target's default runtime."""

    runtime: str
    params: int
    macs: int
    flash_bytes: int
    sram_bytes: int
    latency_ms: Latency


class BudgetRecord(_Record):
    """The target's limits."""

    params: int
    macs: int
    flash_bytes: int
    sram_bytes: int
    latency_ms: float


class FlatnessRecord(_Record):
    """R under one perturbation of a subnet's weights: `gaussian-<sigma>`, or a rounding such as `int8`."""

    perturbation: str
    r: float
    ci95: tuple[float, float]


class MeasuredRecord(_Record):
    """What was measured of one subnet, whatever the target.

    Attributes:
        corrupted_error: under the corruptions that may select; null where the objective has none.
    """

    arch: dict[str, Any]
    clean_error: float
    flatness: list[FlatnessRecord]
    corrupted_error: float | None = None


class EvaluationRecord(MeasuredRecord):
    """One subnet the search evaluated: a line of `search/evaluations.jsonl`."""

    footprint: FootprintRecord

    def r(self, sigmas: Sequence[float]) -> float:
        """Mean R over these sigmas."""
        by_name = {f.perturbation: f.r for f in self.flatness}
        return sum(by_name[gaussian_name(sigma)] for sigma in sigmas) / len(sigmas)


class QuantizationStep(_Record):
    """A technique, and the network's error with it on held-out calibration images."""

    name: str
    error: Number


class QuantizationAttempt(_Record):
    """One way to int8 that was tried.

    Attributes:
        method: `minmax`, `post-training` or `qat`.
        accuracy: top-1 of the int8 ONNX on validation images.
        steps: post-training techniques that were kept; `qat` starts from them.
    """

    method: Literal["minmax", "post-training", "qat"]
    accuracy: Number
    steps: list[QuantizationStep]


class QuantizationRecord(_Record):
    """`model/quantization.json`: how the net became int8.

    Attributes:
        method: the attempt that ships.
        calibration_images: training images behind the activation ranges; null in reports of older versions.
        validation_images: behind the accuracies.
    """

    method: Literal["minmax", "post-training", "qat"]
    calibration_images: int | None = None
    validation_images: int
    float_accuracy: Number
    attempts: list[QuantizationAttempt]


class FinalistRecord(_Record):
    """A subnet that was trained for a while before one was chosen: an entry of `search/finalists.json`.

    Attributes:
        inherited_error: on validation images with the supernet's weights.
        trained_error: on all validation images after the training.
    """

    arch: dict[str, Any]
    inherited_error: Number
    trained_error: Number


class SearchRecord(_Record):
    """What the search did; `hypervolume`, `kendall_tau` and `proposer` have one value per iteration.

    Attributes:
        selected: what the search measured of the subnet that ships, which need not be on the front; null in reports of
            older versions.
        finalists: empty where the search's own measurements chose.
    """

    evaluations: int
    objective: Literal["flatness", "rounding", "corruptions"] = "flatness"
    alpha: float
    sigmas: list[float]
    front: list[EvaluationRecord]
    hypervolume: list[float]
    kendall_tau: list[float | None]
    proposer: list[str]
    selected: EvaluationRecord | None = None
    finalists: list[FinalistRecord] = []
    seconds: float


class Accuracy(_Record):
    """Top-1 accuracy on the clean test images audited.

    Attributes:
        onnx: of the int8 ONNX on onnxruntime.
        tflite_int8: of the int8 TFLite, in the arithmetic that `Robustness.arithmetic` names.
        xnnpack: of the same file with XNNPACK's kernels; null in reports of older versions.
    """

    float: Number
    onnx: Number
    tflite_int8: Number
    xnnpack: Number | None = None


class Pair(_Record):
    """A value of the float and of the int8 model; null where it may not be computed."""

    float: Number | None
    int8: Number | None


class Severities(_Record):
    """Error of both models at the five severities of one corruption."""

    float: list[Number]
    int8: list[Number]


class Delta(_Record):
    """int8 minus float of mCE, or of the mean error without one; positive is worse.

    The interval is a bootstrap by clean image.
    """

    mean: float
    ci95: tuple[float, float]


class DeviceArithmetic(_Record):
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


class Robustness(_Record):
    """Errors on the corrupted test images; `mce` is null unless all 15 standard corruptions ran.

    Attributes:
        arithmetic: what computed the int8 file's answers: our firmware on this machine, which equals a device in every
            byte, or LiteRT with XNNPACK.
    """

    arithmetic: Literal["firmware", "litert"] = "litert"
    source: Literal["official", "generated"]
    images: int
    corruptions: list[str]
    mce: Pair
    mean_error: Pair
    per_corruption: dict[str, Severities]
    delta: Delta
    device: DeviceArithmetic | None


class ParityRecord(_Record):
    """One runtime against the integer interpreter on the same int8 inputs, in LSB of the scores.

    Attributes:
        beyond: share of the scores that differ by more than the bound.
        holds: whether that is allowed.
        first_difference: the first operator whose output differs on any input; null where none does.
    """

    runner: str
    max_abs_lsb: int
    mismatches: int
    n: int
    top1_agreement: float
    bound_lsb: int
    beyond: float = 0.0
    holds: bool = True
    first_difference: str | None = None


class FlashRecord(_Record):
    """Bytes of flash: code with startup and vectors, and constants. The harness of the proof is not counted."""

    code: int
    data: int
    total: int


class RamRecord(_Record):
    """Bytes of RAM: the arena with input and scratch, other variables, the deepest stack below the call."""

    arena: int
    variables: int
    stack: int
    total: int


class LayerRecord(_Record):
    """What a layer did, which kernel did it, and the instructions it took."""

    name: str
    kernel: str
    instructions: int


class MismatchRecord(_Record):
    """The first value that differs: of which input, after which layer, where in its output."""

    input: int
    layer: str
    index: int
    wanted: int
    got: int


class CoreProof(_Record):
    """One core's proof.

    Attributes:
        references: what every output was compared with.
        mismatches: inputs with any byte that differs.
        instructions: of one inference; not cycles.
    """

    core: str
    emulator: str
    compiler: str
    references: list[str]
    images: int
    mismatches: int
    first_mismatch: MismatchRecord | None
    instructions: int
    flash_bytes: FlashRecord
    ram_bytes: RamRecord
    layers: list[LayerRecord]


class PeerRecord(_Record):
    """Another runtime with the same model, inputs and emulated core, built from the user's own sources.

    Attributes:
        mismatches: inputs with any byte that differs from what the firmware is held to.
        instructions: of one inference, without the set-up; not cycles.
    """

    name: str
    core: str
    emulator: str
    compiler: str
    images: int
    mismatches: int
    instructions: int
    flash_bytes: FlashRecord
    ram_bytes: RamRecord


class FirmwareRecord(_Record):
    """`proof.json`.

    Attributes:
        peers: what was asked to be built and run beside.
        skipped: why nothing was emulated, and how to change that; null where something was.
    """

    cores: list[CoreProof]
    peers: list[PeerRecord] = []
    skipped: str | None = None


class ClassRecord(_Record):
    """One class of the clean test images audited; its recall is null where it has none."""

    name: str
    images: int
    recall: float | None


class ClassifierRecord(_Record):
    """What the int8 model does class by class on the clean test images audited.

    Attributes:
        balanced_accuracy: mean recall of the classes that have images.
        ci95: its 95 % interval.
        classes: in the order of the outputs.
    """

    balanced_accuracy: float
    ci95: tuple[float, float]
    classes: list[ClassRecord]


class Gate(_Record):
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


class MemoryRow(_Record):
    """One operator of the shipped file: what is alive in the arena while it runs."""

    op: str
    name: str
    macs: int
    params: int
    live_bytes: int
    peak: bool


class HostLatencyRow(_Record):
    """LiteRT on the CPU that made the report, one image at a time: not the target's latency."""

    file: str
    threads: int
    xnnpack: bool
    median_ms: float
    p90_ms: float


class HostLatencyRecord(_Record):
    """Which CPU, and how long the files of a mobile target took on it."""

    cpu: str
    rows: list[HostLatencyRow]


class StageSeconds(_Record):
    """How long a stage took."""

    name: str
    seconds: float


class RunReport(_Record):
    """`report.json`."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    target: str
    dataset: str
    seed: int
    arch: dict[str, Any]
    footprint: FootprintRecord
    budget: BudgetRecord
    fits: bool
    uncounted: list[str] = []
    teacher: Literal["shipped", "trained"] | None = None
    search: SearchRecord
    quantization: QuantizationRecord | None = None
    accuracy: Accuracy
    classifier: ClassifierRecord | None = None
    robustness: Robustness
    parity: list[ParityRecord]
    firmware: FirmwareRecord | None = None
    memory: list[MemoryRow]
    host_latency: HostLatencyRecord | None = None
    gates: list[Gate]
    passed: bool
    warnings: list[str] = []
    artifacts: dict[str, str]
    stages: list[StageSeconds]
