"""What a run is asked to do: the run's configuration and the presets, which are counts and never wall-clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PresetName = Literal["quick", "standard", "full"]
SelectName = Literal["knee", "accuracy", "robust", "smallest"]


class PipelineError(Exception):
    """What the user of a command can mend; one line that says how."""


class InfeasibleBudgetError(PipelineError):
    """No subnet of the space meets the budgets: the answer of a run, not a wrong use of it."""


@dataclass(frozen=True, slots=True)
class Preset:
    """How much work a run does.

    Attributes:
        adapt_epochs: epochs that adapt the shipped supernet to other classes.
        evaluations: subnets evaluated directly by the search, at least.
        population: of NSGA-II.
        error_images: validation images behind a subnet's clean error.
        r_images: validation images behind R.
        r_draws: noise draws behind R (M of the paper).
        recalibration_images: training images behind the batch-norm statistics.
        finetune_epochs: epochs of SAM on the selected subnet.
        finetune_images: training images of such an epoch, at most.
        calibration_images: training images behind the activation ranges.
        parity_images: validation images run through every runtime.
        audit_images: test images audited, clean and corrupted.
        device_images: corrupted images, in all, that the device's own arithmetic runs, too.
    """

    adapt_epochs: int
    evaluations: int
    population: int
    error_images: int
    r_images: int
    r_draws: int
    recalibration_images: int
    finetune_epochs: int
    finetune_images: int
    calibration_images: int
    parity_images: int
    audit_images: int
    device_images: int


PRESETS: dict[PresetName, Preset] = {
    "quick": Preset(6, 20, 10, 1000, 250, 5, 1000, 1, 20_000, 256, 200, 500, 1000),
    "standard": Preset(10, 48, 12, 2000, 500, 10, 1000, 3, 50_000, 512, 1000, 2000, 1000),
    "full": Preset(20, 96, 16, 5000, 500, 20, 2000, 20, 50_000, 1024, 1000, 10000, 2000),
}


class RunConfig(BaseModel):
    """One target's run, as `run.json` keeps it.

    Attributes:
        supernet: path of the supernet to search, instead of the shipped one.
        overrides: `--set` values by key, as written.
        alpha: weight of the clean error in F_AR.
        sigma: relative weight noise of R.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    dataset: str
    preset: PresetName = "standard"
    seed: int = Field(default=0, ge=0)
    select: SelectName = "accuracy"
    supernet: str | None = None
    overrides: dict[str, str] = {}
    alpha: float = 0.5
    sigma: float = 0.05

    @property
    def counts(self) -> Preset:
        """The preset's counts."""
        return PRESETS[self.preset]


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` or the list of choices, to end a message about an unknown word."""
    known = sorted(choices)
    close = get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; choose one of {', '.join(known)}"
