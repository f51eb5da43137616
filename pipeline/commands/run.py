"""`pipeline run`: from a hardware profile to an audited int8 model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from pipeline.commands import options
from pipeline.commands.configured import configured
from pipeline.config import (
    SETTINGS,
    AuditCounts,
    DataSettings,
    ExportSettings,
    GateSettings,
    RunConfig,
    SearchSettings,
    SupernetSettings,
    TrainingSettings,
    settings_of,
)
from pipeline.errors import InfeasibleBudgetError, PipelineError

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from pipeline.progress import Reporter
    from pipeline.report.run_report import RunReport
    from pipeline.runs.facts import Origin


@cloup.command()
@cloup.option_group(
    "What is run",
    options.target,
    cloup.option(
        "--config",
        "config_file",
        type=click.Path(exists=True, path_type=Path),
        metavar="FILE|RUN",
        help="Settings of a TOML file, or of an earlier run; flags override them.",
    ),
    cloup.option("--print-config", is_flag=True, help="Print every setting as such a file, and stop."),
    cloup.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a number of the profile (budget.sram_bytes=64KiB), its runtime (runtime=tflm), or a setting "
        "without a flag (search.r_images=500).",
    ),
)
@configured(
    {
        "How much work": [SETTINGS[name] for name in ("preset", "seed", "protocol")],
        "Data": settings_of(DataSettings),
        "Supernet and teacher": settings_of(SupernetSettings),
        "Search": settings_of(SearchSettings),
        "Training": settings_of(TrainingSettings),
        "Export and audit": [*settings_of(ExportSettings), *settings_of(AuditCounts)],
        "Gates": settings_of(GateSettings),
    }
)
@cloup.option_group(
    "Files",
    cloup.option("--out", type=click.Path(path_type=Path), help="Run directory; runs/<data set>/<target> by default."),
    options.data_dir,
    options.offline,
    options.junit,
)
def run(
    given: dict[str, Any],
    targets: str | None,
    config_file: Path | None,
    print_config: bool,
    overrides: tuple[str, ...],
    out: Path | None,
    data_dir: Path | None,
    offline: bool,
    junit_file: Path | None,
) -> int:
    """Search, fine-tune, quantize, export and audit a model for a target.

    Several targets, a,b,c, are run one after another and share what their searches measured. Called again, it goes on
    where it stopped, and redoes only what a changed setting touches.
    """
    configs = _configs(given, targets, config_file, overrides)
    if print_config:
        from pipeline.layers import as_toml

        click.echo("\n".join(map(as_toml, configs)), nl=False)
        return 0
    if junit_file and len(configs) > 1:
        raise PipelineError("--junit is for one target: run them one by one, each with its own file")
    runs, reporter = _prepared(configs, out, data_dir, offline)
    codes = []
    for directory, origin in runs.items():
        try:
            codes.append(_run_target(origin, directory, reporter))
        except InfeasibleBudgetError as error:
            if len(runs) == 1:
                raise
            reporter.line(f"[red]{error}[/]")
            codes.append(1)
    if junit_file:
        (directory,) = runs
        _write_junit(junit_file, directory)
    return max(codes)


def _configs(
    given: Mapping[str, Any], targets: str | None, file: Path | None, overrides: Sequence[str]
) -> list[RunConfig]:
    """One configuration per target."""
    from pipeline.layers import configured, set_values

    settings, profile = set_values(options.key_values(overrides, "--set"))
    given = {**given, **settings}
    if profile:
        given["overrides"] = profile
    if targets is None and file is not None:
        return [_whole_paths(configured(given, file))]
    names = options.split_names(targets)
    if "all" in names:
        raise PipelineError(
            "--target all is for 'pipeline fit'; a run trains a model for each target: name them, as in a,b,c"
        )
    return [_whole_paths(configured({**given, "target": name}, file)) for name in names]


def _whole_paths(config: RunConfig) -> RunConfig:
    """The configuration with folders and files by their whole paths, so that a run knows them again from anywhere.

    Raises:
        PipelineError: there is no such supernet, or a folder can't be told from a data set by its name.
    """
    from flatnas.data.registry import NAMES
    from pipeline.runs.places import without_place

    dataset, supernet = options.whole_path(config.data.dataset), config.supernet.supernet
    if (name := without_place(dataset)) != dataset and name in NAMES:
        raise PipelineError(f"{dataset} has the name of the data set '{name}': give the folder another one")
    if supernet is not None:
        if not (path := Path(supernet)).is_file():
            raise PipelineError(f"--supernet: there is no file {path}")
        supernet = str(path.resolve())
    return replace(
        config, data=replace(config.data, dataset=dataset), supernet=replace(config.supernet, supernet=supernet)
    )


def _prepared(
    configs: Sequence[RunConfig], out: Path | None, data_dir: Path | None, offline: bool
) -> tuple[dict[Path, Origin], Reporter]:
    """Every run with its directory, all of them checked before the first one's hours."""
    from flatnas.corruptions import CORRUPTIONS
    from hardware_profiles.profile import load_profile
    from pipeline.progress import Reporter
    from pipeline.runs.facts import Origin
    from pipeline.runs.runner import open_run

    profiles = [load_profile(config.target, config.overrides) for config in configs]
    first = configs[0]  # they differ in their targets alone
    options.check_names(first.gates.max_error, "--max-error", "corruption", CORRUPTIONS)
    options.require_training_packages()
    reporter = Reporter()
    data = _data(first, data_dir, offline, reporter)
    options.check_names(first.gates.min_recall, "--min-recall", "class", data.class_names)
    runs: dict[Path, Origin] = {}
    for config, profile in zip(configs, profiles, strict=True):
        directory = run_directory(out, config.data.dataset, profile.name, alone=len(configs) == 1)
        if directory in runs:
            raise PipelineError(
                f"targets '{runs[directory].config.target}' and '{config.target}' are both named '{profile.name}', and "
                f"would share {directory}; run them one by one, each with its own --out"
            )
        runs[directory] = Origin(config, profile, data, data_dir)
    for directory, origin in runs.items():
        if directory.exists():
            open_run(directory, origin)
    return runs, reporter


def _write_junit(path: Path, directory: Path) -> None:
    from pipeline.files import write_bytes
    from pipeline.report.junit import gates_as_junit

    report = read_report(directory)
    content = gates_as_junit("pipeline run", f"{report.target}.{report.dataset.name}", report.gates)
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


def _data(config: RunConfig, data_dir: Path | None, offline: bool, reporter: Reporter) -> Dataset:
    """The data set, as `load_data` loads it; CIFAR-10 is fetched where it is not on this machine."""
    from flatnas.errors import MissingDataError
    from pipeline.run_data import load_data

    try:
        return load_data(config, data_dir)
    except MissingDataError:
        if offline or config.data.dataset != "cifar10":
            raise
    from flatnas.data.cifar import user_cache
    from flatnas.data.download import fetch_cifar10

    reporter.line("CIFAR-10 is not on this machine; fetching it once")
    with reporter.track("downloading") as advance:
        fetch_cifar10(data_dir or user_cache(), advance)
    return load_data(config, data_dir)


def _run_target(origin: Origin, directory: Path, reporter: Reporter) -> int:
    from flatnas.nets.supernet_file import read_space
    from pipeline.feasibility import binding, check_feasible
    from pipeline.flow import STAGES
    from pipeline.host_latency import measure_host_latency
    from pipeline.report.tables import host_latency_table, summary
    from pipeline.runs.runner import run_stages
    from pipeline.runs.timings import read_timings
    from pipeline.shipped import shipped_space

    config, profile, data = origin.config, origin.profile, origin.data
    if config.supernet.supernet:
        space = read_space(Path(config.supernet.supernet))
    else:
        space = shipped_space(len(data.class_names), data.resolution)
    check_feasible(space, profile)
    reporter.line(f"[bold]{config.target}[/] · {config.data.dataset} · preset {config.preset} · {directory}")
    if not binding(space, profile):
        reporter.line(
            f"[yellow]even the largest subnet of space '{space.name}' is inside every budget of '{profile.name}'[/]: "
            "for mobile CPUs, adapt Once-for-All's supernet (docs/mobile.md)"
        )
    if run_stages(STAGES, directory, origin, reporter) and profile.kind == "mobile":
        measure_host_latency(directory)
    report = read_report(directory)
    reporter.console.print(summary(report, directory))
    if profile.kind == "mobile":
        reporter.console.print(host_latency_table(read_timings(directory)))
    return 0 if report.passed else 1


def read_report(directory: Path) -> RunReport:
    """The `report.json` of a run directory."""
    from pipeline.report.run_report import RunReport
    from pipeline.runs.layout import REPORT
    from pipeline.values import read_value

    try:
        return read_value(RunReport, directory / REPORT)
    except (OSError, PipelineError) as error:
        raise PipelineError(
            f"{directory} has no readable report.json; finish the run by calling 'pipeline run' again"
        ) from error
