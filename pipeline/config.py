"""What a run is asked to do: the run's configuration and the presets, which are counts and never wall-clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from pipeline.choices import (
    AugmentName,
    ObjectiveName,
    OptimizerName,
    PresetName,
    ProtocolName,
    QuantizeName,
    SelectName,
    TeacherName,
)


@dataclass(frozen=True, slots=True)
class Preset:
    """How much work a run does.

    Attributes:
        teacher_epochs: epochs of a teacher, where one is trained.
        adapt_epochs: epochs that adapt the shipped supernet to other classes.
        initial: random subnets that the search measures first.
        batch: subnets it measures per iteration.
        evaluations: subnets measured in all, at least.
        most: subnets measured at most, where the front still grows.
        error_images: validation images behind a subnet's clean error.
        r_images: validation images behind R.
        r_draws: noise draws behind R (M of the paper).
        corrupted_images: validation images behind the error under each of 8 corruptions, where the objective has it.
        recalibration_images: training images behind the batch-norm statistics.
        roundings: whether R under int8 and int4 rounding is recorded, too.
        finetune_epochs: epochs of fine-tuning the selected subnet.
        finetune_rate: learning rate at the top of their schedule.
        plain_share: share of the fine-tuning, from its start, that is plain SGD; the rest is SAM, at twice the cost.
        finetune_images: training images of such an epoch, at most.
        calibration_images: training images behind the activation ranges.
        parity_images: validation images run through every runtime.
        firmware_images: validation images run on the emulated core.
        audit_images: test images audited, clean and corrupted.
        device_images: corrupted images, in all, that the device's own arithmetic runs, too.
        recalibrated: whether R with batch norms recalibrated after the noise is recorded, too, at twice R's cost.
    """

    teacher_epochs: int
    adapt_epochs: int
    initial: int
    batch: int
    evaluations: int
    most: int
    error_images: int
    r_images: int
    r_draws: int
    corrupted_images: int
    recalibration_images: int
    roundings: bool
    finetune_epochs: int
    finetune_rate: float
    plain_share: float
    finetune_images: int
    calibration_images: int
    parity_images: int
    firmware_images: int
    audit_images: int
    device_images: int
    recalibrated: bool = False

    @property
    def qat_epochs(self) -> int:
        """Epochs of quantization-aware training: a third of the fine-tuning, at least one."""
        return max(self.finetune_epochs // 3, 1)


PRESETS: dict[PresetName, Preset] = {
    "quick": Preset(
        teacher_epochs=6,
        adapt_epochs=6,
        initial=12,
        batch=4,
        evaluations=20,
        most=20,
        error_images=1000,
        r_images=250,
        r_draws=5,
        corrupted_images=50,
        recalibration_images=1000,
        roundings=False,
        finetune_epochs=1,
        finetune_rate=0.05,
        plain_share=0.0,
        finetune_images=20_000,
        calibration_images=256,
        parity_images=200,
        firmware_images=20,
        audit_images=500,
        device_images=1000,
    ),
    "standard": Preset(
        teacher_epochs=12,
        adapt_epochs=10,
        initial=24,
        batch=8,
        evaluations=48,
        most=56,
        error_images=2000,
        r_images=1000,
        r_draws=5,
        corrupted_images=150,
        recalibration_images=1000,
        roundings=False,
        finetune_epochs=8,  # as dear as 10 of plain SGD: SAM's last quarter costs twice
        finetune_rate=0.1,
        plain_share=0.75,
        finetune_images=50_000,
        calibration_images=512,
        parity_images=1000,
        firmware_images=100,
        audit_images=2000,
        device_images=1000,
    ),
    "full": Preset(
        teacher_epochs=36,
        adapt_epochs=20,
        initial=40,
        batch=8,
        evaluations=160,
        most=168,
        error_images=2000,
        r_images=1000,
        r_draws=5,
        corrupted_images=300,
        recalibration_images=1000,
        roundings=True,
        finetune_epochs=20,
        finetune_rate=0.1,
        plain_share=0.75,
        finetune_images=50_000,
        calibration_images=1024,
        parity_images=1000,
        firmware_images=200,
        audit_images=10_000,
        device_images=2000,
    ),
    "release": Preset(
        teacher_epochs=36,
        adapt_epochs=20,
        initial=40,
        batch=8,
        evaluations=160,
        most=168,
        error_images=2000,
        r_images=1000,
        r_draws=5,
        corrupted_images=300,
        recalibration_images=1000,
        roundings=False,
        finetune_epochs=40,
        finetune_rate=0.1,
        plain_share=2 / 3,
        finetune_images=50_000,
        calibration_images=1024,
        parity_images=1000,
        firmware_images=200,
        audit_images=10_000,
        device_images=2000,
    ),
}


class RunConfig(BaseModel):
    """One target's run, as `run.json` keeps it.

    Attributes:
        resolution: side in pixels that a folder's images are resized to, where it was asked for.
        supernet: path of the supernet to search, instead of the shipped one.
        overrides: `--set` values by key, as written.
        finalist_epochs: epochs of plain SGD that the best subnet of each resolution gets before one is selected; 0
            selects by the supernet's weights.
        finetune_epochs: instead of the preset's; 0 keeps the inherited weights.
        teacher: whose soft labels the trainings follow; auto takes shipped ones where there are some of these data.
        learning_rate: of finalists and fine-tuning, instead of the preset's.
        optimizer: of the fine-tuning, in our protocol.
        protocol: our search, or the one that FlatNAS was published with.
        augment: what fine-tuning does to images beyond crops and flips.
        objective: what stands beside the clean error in F_AR: R, R under rounding, or R and corruption error.
        alpha: weight of the clean error in F_AR; 1 is plain NAS.
        sigmas: relative weight noise of R, one or several.
        min_accuracy: a gate on the clean accuracy, as all of the following.
        min_recall: on classes' recalls, by name.
        max_mce: on the mCE.
        max_error: on corruptions' mean errors, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    dataset: str
    preset: PresetName = "standard"
    resolution: int | None = None
    seed: int = Field(default=0, ge=0)
    select: SelectName = "accuracy"
    quantize: QuantizeName = "auto"
    supernet: str | None = None
    overrides: dict[str, str] = {}
    finalist_epochs: int = Field(default=0, ge=0)
    finetune_epochs: int | None = Field(default=None, ge=0)
    learning_rate: float | None = Field(default=None, gt=0)
    optimizer: OptimizerName = "sam"
    teacher: TeacherName = "auto"
    protocol: ProtocolName = "fast"
    augment: AugmentName = "none"
    objective: ObjectiveName = "flatness"
    alpha: float = Field(default=0.5, gt=0, le=1)
    sigmas: tuple[float, ...] = (0.05,)
    min_accuracy: float | None = Field(default=None, ge=0, le=1)
    min_recall: dict[str, float] = {}
    max_mce: float | None = Field(default=None, ge=0, le=1)
    max_error: dict[str, float] = {}

    @property
    def teaches(self) -> TeacherName:
        """The teacher that the run has; the published protocol has none."""
        return "none" if self.protocol == "paper" else self.teacher

    @property
    def counts(self) -> Preset:
        """The preset's counts, with what was asked for instead."""
        preset = PRESETS[self.preset]
        finetune = preset.finetune_epochs if self.finetune_epochs is None else self.finetune_epochs
        rate = self.learning_rate or preset.finetune_rate
        return replace(preset, finetune_epochs=finetune, finetune_rate=rate)
