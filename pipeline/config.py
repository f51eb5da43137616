"""What a run is asked to do: every setting once, with its help, its choices and its limits.

A configuration is nested by the rooms of the flow. The presets (`pipeline/presets/*.toml`) are counts and never
wall-clock; a user's file, another run and the command line lay their own values over one. A setting's name is its own
in the whole configuration, so that a stage can ask for it by that name alone (`pipeline.runs.stage`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Interval, Le

PresetName = Literal["quick", "standard", "full", "release"]
SelectName = Literal["knee", "accuracy", "robust", "smallest"]
ProtocolName = Literal["fast", "paper"]
AugmentName = Literal["none", "augmix"]
QuantizeName = Literal["auto", "ptq", "qat"]
OptimizerName = Literal["sam", "asam", "sgd"]
ObjectiveName = Literal["flatness", "rounding", "corruptions"]
ResizeName = Literal["area", "crop", "letterbox"]
MirrorName = Literal["auto", "yes", "no"]
InputsName = Literal["auto", "all", "whole"]
TeacherName = Literal["auto", "labels", "train", "none"]

Count = Annotated[int, Ge(1)]
Epochs = Annotated[int, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Option:
    """A setting with a flag of its own on the command line; any other is reached by `--set ROOM.NAME=VALUE`.

    Attributes:
        flag: where it is not the setting's name.
    """

    help: str
    flag: str = ""
    metavar: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """Which pictures, and at which size."""

    dataset: Annotated[
        str,
        Option(
            "Data set, a folder with one folder of images per class, or a list of them (.csv).",
            metavar="cifar10|cifar100|digits|PATH",
        ),
    ] = "cifar10"
    resolution: Annotated[
        Annotated[int, Ge(1)] | None,
        Option(
            "Side that a folder's images are resized to; their own by default, up to what the search space takes.",
            metavar="PIXELS",
        ),
    ] = None
    resize: Annotated[
        ResizeName,
        Option("How a picture of another shape becomes square: squeezed, cropped in the middle, or on grey bars."),
    ] = "area"
    mirrors: Annotated[
        MirrorName,
        Option(
            "Whether a mirrored picture keeps its class, so that training may mirror; auto asks the classes' names."
        ),
    ] = "auto"
    group_by: Annotated[
        str | None,
        Option(
            "Keep pictures of one group in one part: by the folder below the class's, or by what a regular expression "
            "finds in their paths.",
            metavar="folder|REGEX",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetSettings:
    """Whose weights the search starts from, and whose soft labels every training follows.

    Attributes:
        adapt_epochs: of the shipped supernet's new head for other classes, 50 steps each.
        teacher_epochs: epochs of a teacher, where one is trained.
    """

    supernet: Annotated[
        str | None,
        Option("Search this supernet ('pipeline supernet' makes them) instead of the shipped one.", metavar="FILE"),
    ] = None
    adapt_epochs: Epochs
    teacher: Annotated[
        TeacherName,
        Option(
            "Whose soft labels trainings follow: shipped ones where there are some (auto), those alone (labels), of a "
            "teacher that is trained first (train), or none."
        ),
    ] = "auto"
    teacher_epochs: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How subnets are measured and which one is chosen.

    Attributes:
        initial: random subnets that the search measures first.
        batch: subnets it measures per iteration.
        evaluations: subnets measured in all, at least.
        most: subnets measured at most, where the front still grows.
        population: of NSGA-II.
        generations: of NSGA-II, per iteration.
        near: whether subnets a few genes from the measured front are proposed, too.
        candidate_epochs: epochs that each subnet is trained before it is measured, in the published protocol.
        error_images: validation images behind a subnet's clean error.
        r_images: validation images behind R.
        r_draws: noise draws behind R (M of the paper).
        corrupted_images: validation images behind the error under each of 8 corruptions, where the objective has it.
        recalibration_images: training images behind the batch-norm statistics.
        roundings: whether R under int8 and int4 rounding is recorded, too.
        recalibrated: whether R with batch norms recalibrated after the noise is recorded, too, at twice R's cost.
    """

    objective: Annotated[
        ObjectiveName,
        Option(
            "What the search weighs beside the clean error: R under weight noise (as FlatNAS was published), R under "
            "rounding to int8 and int4, or R and the error under four corruptions that mCE leaves out."
        ),
    ] = "flatness"
    alpha: Annotated[
        float,
        Gt(0),
        Le(1),
        Option("Weight of the clean error in the figure of merit; 1 ignores flatness."),
    ] = 0.5
    sigmas: Annotated[
        tuple[Annotated[float, Gt(0), Le(1)], ...],
        Option("Weight noise of R.", flag="--sigma", metavar="S[,S…]"),
    ] = (0.05,)
    select: Annotated[SelectName, Option("Which of the subnets that fit to deploy.")] = "accuracy"
    inputs: Annotated[
        InputsName,
        Option(
            "Sizes of the net's input that are searched: all, the pictures' whole size, or auto, which of own pictures "
            "takes those of 64 pixels and more, or their whole size where that is smaller."
        ),
    ] = "auto"
    initial: Count
    batch: Count
    evaluations: Count
    most: Count
    population: Count = 60
    generations: Count = 30
    near: bool = True
    candidate_epochs: Count = 6
    error_images: Count
    r_images: Count
    r_draws: Count
    corrupted_images: Count
    recalibration_images: Count
    roundings: bool = False
    recalibrated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How the chosen subnet is trained from the weights that it inherits.

    Attributes:
        plain_share: share of the fine-tuning, from its start, that is plain SGD; the rest is SAM, at twice the cost.
        finetune_images: training images of an epoch, at most.
    """

    finalist_epochs: Annotated[
        Epochs,
        Option(
            "Train the most accurate subnet of each resolution for so many epochs, and go on with the best one.",
            metavar="N",
        ),
    ] = 0
    finetune_epochs: Annotated[
        Epochs, Option("Fine-tune for so many epochs; 0 keeps the supernet's weights.", metavar="N")
    ]
    optimizer: Annotated[
        OptimizerName,
        Option(
            "Of the fine-tuning: (adaptive) sharpness-aware minimization, or plain SGD, whose steps cost half as much."
        ),
    ] = "sam"
    learning_rate: Annotated[
        float,
        Gt(0),
        Option("At the top of the training's schedule; where a loss diverges, try a tenth.", metavar="RATE"),
    ]
    augment: Annotated[AugmentName, Option("What fine-tuning does to images beyond crops and flips.")] = "none"
    plain_share: Share
    finetune_images: Count

    @property
    def qat_epochs(self) -> int:
        """Epochs of quantization-aware training: a third of the fine-tuning, at least one."""
        return max(self.finetune_epochs // 3, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """How the net becomes int8, and how many inputs prove its files.

    Attributes:
        calibration_images: training images behind the activation ranges.
        parity_images: validation images run through every runtime.
        firmware_images: validation images run on the emulated core.
    """

    quantize: Annotated[
        QuantizeName,
        Option("auto: the cheapest method that keeps the accuracy; ptq never trains, qat always does."),
    ] = "auto"
    calibration_images: Count
    parity_images: Count
    firmware_images: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCounts:
    """How many pictures the audit takes.

    Attributes:
        audit_images: test images audited, clean and corrupted.
        device_images: corrupted images, in all, that the device's own arithmetic runs, too.
    """

    audit_images: Count
    device_images: Annotated[int, Ge(0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """Conditions of the verdict beyond those that every run has."""

    min_accuracy: Annotated[Share | None, Option("Gate: fail below this clean accuracy.")] = None
    min_recall: Annotated[
        Mapping[str, Share], Option("Gate: fail below this recall of a class.", metavar="CLASS=X")
    ] = field(default_factory=dict)
    max_mce: Annotated[Share | None, Option("Gate: fail above this mCE.")] = None
    max_error: Annotated[
        Mapping[str, Share], Option("Gate: of the mean error under a corruption.", metavar="NAME=X")
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """One target's run, as `run.json` keeps it.

    Attributes:
        target: a hardware profile.
        overrides: of the profile's numbers, by key, as written.
    """

    target: str
    preset: Annotated[PresetName, Option("How much work; see docs/runs.md.")] = "standard"
    protocol: Annotated[
        ProtocolName, Option("'paper' trains every candidate, as FlatNAS was published: days of work.")
    ] = "fast"
    seed: Annotated[int, Interval(ge=0, le=2**32 - 1), Option("Seeds every random draw of the run.")] = 0
    overrides: Mapping[str, str] = field(default_factory=dict)
    data: DataSettings = DataSettings()
    supernet: SupernetSettings
    search: SearchSettings
    training: TrainingSettings
    export: ExportSettings
    audit: AuditCounts
    gates: GateSettings = GateSettings()


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a configuration: where it stands, and what its annotation says.

    Attributes:
        path: names of the room, if any, and the setting.
        kind: its type without metadata.
        metadata: limits and the option.
        required: without a default: presets give it.
    """

    path: tuple[str, ...]
    kind: Any
    metadata: tuple[object, ...]
    default: object
    required: bool

    @property
    def name(self) -> str:
        """Its name, unique in the configuration."""
        return self.path[-1]

    @property
    def option(self) -> Option | None:
        """Its flag; None where it has none."""
        return next((m for m in self.metadata if isinstance(m, Option)), None)

    @property
    def flag(self) -> str:
        """As the command line has it: a flag of its own, or a key of `--set`."""
        if self.option is None:
            return f"--set {'.'.join(self.path)}"
        return self.option.flag or f"--{self.name.replace('_', '-')}"

    def prefixed(self, prefix: str) -> Setting:
        """The same setting of something else: its flag and name begin with the prefix, its help speaks of that."""
        assert self.option is not None
        words = self.option.help.replace("the model", f"the {prefix}").replace("With --", f"With --{prefix}-")
        option = Option(words, f"--{prefix}-{self.flag.removeprefix('--')}", self.option.metavar)
        metadata = (*(m for m in self.metadata if not isinstance(m, Option)), option)
        return replace(self, path=(*self.path[:-1], f"{prefix}_{self.name}"), metadata=metadata)

    def of(self, config: object) -> Any:
        """Its value in a configuration."""
        for part in self.path:
            config = getattr(config, part)
        return config


def settings_of(kind: type[Any], room: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting of a configuration's class, in order."""
    hints = get_type_hints(kind, include_extras=True)
    for f in fields(kind):
        hint = hints[f.name]
        if isinstance(hint, type) and is_dataclass(hint):
            yield from settings_of(hint, (*room, f.name))
        else:
            annotated = hasattr(hint, "__metadata__")
            inner, metadata = (hint.__origin__, hint.__metadata__) if annotated else (hint, ())
            required = f.default is MISSING and f.default_factory is MISSING
            yield Setting((*room, f.name), inner, metadata, f.default, required)


SETTINGS: Mapping[str, Setting] = {setting.name: setting for setting in settings_of(RunConfig)}
