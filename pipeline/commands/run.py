"""`pipeline run`: from a hardware profile to an audited int8 model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

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
from pipeline.commands import options
from pipeline.config import RunConfig
from pipeline.errors import InfeasibleBudgetError, PipelineError

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from pipeline.progress import Reporter
    from pipeline.results import RunReport
    from pipeline.runs.facts import Origin


@click.command()
@options.target
@options.dataset
@options.data_dir
@options.resolution
@options.offline
@click.option(
    "--preset",
    type=click.Choice(get_args(PresetName)),
    default="standard",
    show_default=True,
    help="How much work; see the README's table.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Run directory; runs/<data set>/<target> by default.")
@options.seed
@click.option(
    "--select",
    type=click.Choice(["knee", "accuracy", "robust", "smallest"]),
    default="accuracy",
    show_default=True,
    help="Which of the subnets that fit to deploy.",
)
@click.option(
    "--finalist-epochs",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Train the most accurate subnet of each resolution for so many epochs, and go on with the best one.",
)
@click.option(
    "--finetune-epochs",
    type=click.IntRange(min=0),
    metavar="N",
    help="Fine-tune for so many epochs, not the preset's; 0 keeps the supernet's weights.",
)
@click.option(
    "--optimizer",
    type=click.Choice(get_args(OptimizerName)),
    default="sam",
    show_default=True,
    help="Of the fine-tuning: (adaptive) sharpness-aware minimization, or plain SGD, whose steps cost half as much.",
)
@click.option(
    "--teacher",
    type=click.Choice(get_args(TeacherName)),
    default="auto",
    show_default=True,
    help="Whose soft labels trainings follow: shipped ones where there are some (auto), those alone (labels), of a "
    "teacher that is trained first (train), or none.",
)
@options.learning_rate
@click.option(
    "--augment",
    type=click.Choice(["none", "augmix"]),
    default="none",
    show_default=True,
    help="What fine-tuning does to images beyond crops and flips.",
)
@click.option(
    "--protocol",
    type=click.Choice(["fast", "paper"]),
    default="fast",
    show_default=True,
    help="'paper' trains every candidate, as FlatNAS was published: days of work.",
)
@click.option(
    "--objective",
    type=click.Choice(get_args(ObjectiveName)),
    default="flatness",
    show_default=True,
    help="What the search weighs beside the clean error: R under weight noise (as FlatNAS was published), R under "
    "rounding to int8 and int4, or R and the error under four corruptions that mCE leaves out.",
)
@click.option(
    "--alpha",
    type=options.Finite(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Weight of the clean error in the figure of merit; 1 ignores flatness.",
)
@click.option("--sigma", "sigmas", default="0.05", show_default=True, metavar="S[,S…]", help="Weight noise of R.")
@click.option(
    "--quantize",
    type=click.Choice(["auto", "ptq", "qat"]),
    default="auto",
    show_default=True,
    help="auto: the cheapest method that keeps the accuracy; ptq never trains, qat always does.",
)
@click.option(
    "--supernet",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Search this supernet ('pipeline supernet' makes them) instead of the shipped one.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a number of the profile, or its runtime: budget.sram_bytes=64KiB, runtime=tflm.",
)
@options.limits
@options.junit
def run(
    targets: str,
    dataset: str,
    data_dir: Path | None,
    resolution: int | None,
    offline: bool,
    preset: str,
    out: Path | None,
    seed: int,
    select: str,
    finalist_epochs: int,
    finetune_epochs: int | None,
    optimizer: str,
    teacher: str,
    learning_rate: float | None,
    augment: str,
    protocol: str,
    objective: str,
    alpha: float,
    sigmas: str,
    quantize: str,
    supernet: Path | None,
    overrides: tuple[str, ...],
    min_accuracy: float | None,
    min_recall: tuple[str, ...],
    max_mce: float | None,
    max_error: tuple[str, ...],
    junit_file: Path | None,
) -> int:
    """Search, fine-tune, quantize, export and audit a model for TARGET.

    Several targets, a,b,c, are run one after another and share what their searches measured. Called again, it goes on
    where it stopped, and redoes only what a changed setting touches.
    """
    from flatnas.corruptions import CORRUPTIONS
    from hardware_profiles.profile import load_profile
    from pipeline.progress import Reporter
    from pipeline.runs.facts import Origin
    from pipeline.runs.runner import open_run

    names = options.split_names(targets)
    if "all" in names:
        raise PipelineError(
            "--target all is for 'pipeline fit'; a run trains a model for each target: name them, as in a,b,c"
        )
    values = options.key_values(overrides, "--set")
    noise = options.sigmas(sigmas)
    profiles = {name: load_profile(name, values) for name in names}
    ours = {
        "--objective": objective != "flatness",
        "--sigma": noise != (0.05,),
        "--augment": augment != "none",
        "--optimizer": optimizer != "sam",
        "--teacher": teacher not in ("auto", "none"),
        "--finalist-epochs": finalist_epochs != 0,
        "--finetune-epochs": finetune_epochs is not None,
        "--learning-rate": learning_rate is not None,
    }
    if protocol == "paper" and any(ours.values()):
        named = ", ".join(option for option, changed in ours.items() if changed)
        raise PipelineError(f"--protocol paper measures and trains as FlatNAS was published: leave out {named}")
    if finalist_epochs and select != "accuracy":
        raise PipelineError(f"--finalist-epochs chooses by accuracy, and --select {select} doesn't: leave one out")
    if finalist_epochs and finetune_epochs == 0:
        raise PipelineError(
            "--finalist-epochs chooses what to fine-tune, and --finetune-epochs 0 doesn't: leave one out"
        )
    max_errors = options.shares(max_error, "--max-error", "corruption", list(CORRUPTIONS))
    if junit_file and len(names) > 1:
        raise PipelineError("--junit is for one target: run them one by one, each with its own file")
    options.require_training_packages()
    reporter = Reporter()
    data = _data(dataset, data_dir, offline, resolution, supernet, reporter)
    min_recalls = options.shares(min_recall, "--min-recall", "class", data.class_names)
    runs: dict[Path, Origin] = {}
    for name, profile in profiles.items():
        config = RunConfig(
            target=name,
            dataset=dataset,
            preset=cast(PresetName, preset),
            resolution=resolution,
            seed=seed,
            select=cast(SelectName, select),
            finalist_epochs=finalist_epochs,
            finetune_epochs=finetune_epochs,
            optimizer=cast(OptimizerName, optimizer),
            teacher=cast(TeacherName, teacher),
            learning_rate=learning_rate,
            augment=cast(AugmentName, augment),
            protocol=cast(ProtocolName, protocol),
            objective=cast(ObjectiveName, objective),
            alpha=alpha,
            sigmas=noise,
            quantize=cast(QuantizeName, quantize),
            supernet=str(supernet.resolve()) if supernet else None,
            overrides=values,
            min_accuracy=min_accuracy,
            min_recall=min_recalls,
            max_mce=max_mce,
            max_error=max_errors,
        )
        directory = run_directory(out, dataset, profile.name, alone=len(names) == 1)
        if directory in runs:
            raise PipelineError(
                f"targets '{runs[directory].config.target}' and '{name}' are both named '{profile.name}', and would "
                f"share {directory}; run them one by one, each with its own --out"
            )
        runs[directory] = Origin(config, profile, data, data_dir)
    for directory, origin in runs.items():
        if directory.exists():  # a later target's foreign one is told of before the first target's hours
            open_run(directory, origin)
    codes = []
    for directory, origin in runs.items():
        try:
            codes.append(_run_target(origin, directory, reporter))
        except InfeasibleBudgetError as error:
            if len(names) == 1:
                raise
            reporter.line(f"[red]{error}[/]")
            codes.append(1)
    if junit_file:
        (directory,) = runs
        _write_junit(junit_file, directory)
    return max(codes)


def _write_junit(path: Path, directory: Path) -> None:
    from pipeline.files import write_bytes
    from pipeline.report.junit import gates_as_junit

    report = read_report(directory)
    content = gates_as_junit("pipeline run", f"{report.target}.{Path(report.dataset).name}", report.gates)
    options.written(path, lambda: write_bytes(path, content))


def run_directory(out: Path | None, dataset: str, target: str, *, alone: bool) -> Path:
    """Where a target's run lies.

    Args:
        out: as `--out` names it.
        target: the profile's name, which of a profile's file is not its path.
        alone: whether it is the only target.
    """
    if out and alone:
        return out
    return (out or Path("runs") / Path(dataset).name) / target


def _data(
    dataset: str,
    data_dir: Path | None,
    offline: bool,
    resolution: int | None,
    supernet: Path | None,
    reporter: Reporter,
) -> Dataset:
    """The data set, as `load_data` loads it; CIFAR-10 is fetched where it is not on this machine."""
    from flatnas.errors import MissingDataError
    from pipeline.run_data import load_data

    try:
        return load_data(dataset, data_dir, resolution, supernet)
    except MissingDataError:
        if offline or dataset != "cifar10":
            raise
    from flatnas.data.cifar import user_cache
    from flatnas.data.download import fetch_cifar10

    reporter.line("CIFAR-10 is not on this machine; fetching it once")
    with reporter.track("downloading") as advance:
        fetch_cifar10(data_dir or user_cache(), advance)
    return load_data(dataset, data_dir, resolution, supernet)


def _run_target(origin: Origin, directory: Path, reporter: Reporter) -> int:
    from flatnas.nets.supernet_file import read_space
    from pipeline.feasibility import binding, check_feasible
    from pipeline.flow import STAGES
    from pipeline.report.tables import summary
    from pipeline.runs.runner import run_stages
    from pipeline.shipped import shipped_space

    config, profile, data = origin.config, origin.profile, origin.data
    if config.supernet:
        space = read_space(Path(config.supernet))
    else:
        space = shipped_space(len(data.class_names), data.resolution)
    check_feasible(space, profile)
    reporter.line(f"[bold]{config.target}[/] · {config.dataset} · preset {config.preset} · {directory}")
    if not binding(space, profile):
        reporter.line(
            f"[yellow]even the largest subnet of space '{space.name}' is inside every budget of '{profile.name}'[/]: "
            "for mobile CPUs, adapt Once-for-All's supernet (docs/mobile.md)"
        )
    run_stages(STAGES, directory, origin, reporter)
    report = read_report(directory)
    reporter.console.print(summary(report, directory))
    return 0 if report.passed else 1


def read_report(directory: Path) -> RunReport:
    """The `report.json` of a run directory."""
    from pydantic import ValidationError

    from pipeline.results import RunReport

    try:
        return RunReport.model_validate_json((directory / "report.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise PipelineError(
            f"{directory} has no readable report.json; finish the run by calling 'pipeline run' again"
        ) from error
