"""Random subnets that fit a target, measured as the search does; then trained, made int8 files and audited.

Every subnet and way of training it is a run directory of its own, with the stages of `pipeline run` but for the search:
so what a study measures is what ships, and a study that was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatnas.data.dataset import Dataset
from flatnas.search.measured import Evaluation, Measured
from flatnas.search.search import Plan, search
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import HardwareProfile
from pipeline.audits.result import AuditResult
from pipeline.config import RunConfig
from pipeline.feasibility import check_feasible
from pipeline.layers import changed
from pipeline.progress import Reporter
from pipeline.results.quantization import Quantization
from pipeline.runs.facts import Origin
from pipeline.runs.layout import ARCH, AUDIT, QUANTIZATION, SUPERNET
from pipeline.runs.manifest import unfinish
from pipeline.runs.runner import run_stages
from pipeline.runs.stage import Stage, StageContext, settings_from
from pipeline.searching import Searching
from pipeline.stages import audit, finetune, quantize, supernet, to_onnx, to_tflite
from pipeline.values import read_value, write_value
from research.study.records import Member, Outcome, Training


@dataclass(frozen=True, slots=True)
class Population:
    """Which subnets, and how they are trained.

    Attributes:
        data_dir: where official corrupted images are looked for, beside the usual places.
    """

    config: RunConfig
    profile: HardwareProfile
    data: Dataset
    data_dir: Path | None
    subnets: int
    trainings: Sequence[Training]

    def origin(self, config: RunConfig) -> Origin:
        """Where the settings of a configuration's stages come from."""
        return Origin(config, self.profile, self.data, self.data_dir)


def measure(population: Population, directory: Path, reporter: Reporter) -> Iterator[Member]:
    """Each subnet in turn, once all its trainings are audited."""
    config = population.config
    run_stages([supernet.STAGE], directory, population.origin(config), reporter)
    unfinish(directory)
    evaluations = _draw(population, directory, reporter)
    trained = changed(config, {"supernet": str(directory / SUPERNET)})
    for number, evaluation in enumerate(evaluations, 1):
        after: dict[Training, Outcome] = {}
        for training in population.trainings:
            place = directory / "subnets" / f"{number:03d}-{training}"
            reporter.line(f"[bold]{number} of {population.subnets}[/], {training} · {evaluation.arch}")
            by = _trained_by(trained, training)
            run_stages(_stages(evaluation.arch), place, population.origin(by), reporter)
            after[training] = _outcome(place)
        yield Member(before=evaluation, after=after)


def _draw(population: Population, directory: Path, reporter: Reporter) -> tuple[Evaluation, ...]:
    """Random subnets inside the budgets, as a search would draw and measure them first."""
    from flatnas.nets.supernet_file import read_space
    from pipeline.evaluations import stored_evaluator, watched

    config, profile = population.config, population.profile
    searching = settings_from(Searching, population.origin(config).value_of)
    space = read_space(directory / SUPERNET)
    check_feasible(space, profile)
    n = population.subnets
    with reporter.track("measuring subnets") as advance:
        evaluate = stored_evaluator(
            searching.measurement, searching.evaluator, directory / SUPERNET, population.data, fallback=directory
        )
        done = iter(range(1, n + 1))

        def show(measured: Measured) -> None:
            advance(next(done), n, f"error {measured.clean_error:.3f}")

        first = next(
            search(
                space,
                lambda arch: footprint(lower(space, arch), profile),
                lambda cost: tuple(excess(cost, profile.budget).values()),
                evaluate,
                plan=Plan(initial=n, batch=1, evaluations=n, most=n),
                objective=searching.judging.merit,
                macs_budget=profile.budget.macs,
                seed=config.seed,
                mapper=watched(show),
            )
        )
    return first.evaluations


def _trained_by(config: RunConfig, training: Training) -> RunConfig:
    if training == "inherited":
        return changed(config, {"finetune_epochs": 0})
    return changed(config, {"optimizer": training})


@dataclass(frozen=True, slots=True)
class _Nothing:
    """A stage that depends on no setting."""


def _stages(arch: Arch) -> list[Stage[Any]]:
    after = (finetune.STAGE, to_onnx.STAGE, quantize.STAGE, to_tflite.STAGE, audit.STAGE)
    return [supernet.STAGE, _given(arch), *after]


def _given(arch: Arch) -> Stage[_Nothing]:
    """In the place of search and selection: this subnet, whose directory is its own."""

    def run(context: StageContext[_Nothing]) -> None:
        write_value(context.path(ARCH), arch)

    return Stage("given", (), (ARCH,), _Nothing, run)


def _outcome(directory: Path) -> Outcome:
    quantization = read_value(Quantization, directory / QUANTIZATION)
    audited = read_value(AuditResult, directory / AUDIT)
    mce = {role: error for role, error in audited.robustness.mce.items() if error is not None}
    int8_accuracy = max(attempt.accuracy for attempt in quantization.attempts)
    return Outcome(
        validation_error={"float": 1 - quantization.float_accuracy, "int8": 1 - int8_accuracy},
        test_error={"float": 1 - audited.accuracy["float"], "int8": 1 - audited.accuracy["int8"]},
        mce={"float": mce["float"], "int8": mce["int8"]},  # all corruptions are audited
        source=audited.robustness.source,
        per_corruption=audited.robustness.per_corruption,
    )
