"""Finalists: the search's most accurate subnet of each resolution is fine-tuned briefly, so that one can be chosen.

Only where `--finalist-epochs` asks for it; it chooses by accuracy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flatnas.search.finalists import finalists
from flatnas.search.measured import Evaluation
from pipeline.config import AugmentName, ProtocolName, SelectName
from pipeline.finetuning import Finetuning, finetuned
from pipeline.results.search import Finalist
from pipeline.runs.layout import EVALUATIONS, FINALISTS, LABELS, SUPERNET
from pipeline.runs.stage import Stage, StageContext
from pipeline.values import read_lines, read_value, write_value

if TYPE_CHECKING:
    from flatnas.nets.supernet import Supernet


@dataclass(frozen=True, slots=True)
class Settings:
    """How finalists are trained, and whether anybody asks for them; see `pipeline.config`."""

    select: SelectName
    finalist_epochs: int
    seed: int
    protocol: ProtocolName
    augment: AugmentName
    learning_rate: float
    finetune_images: int
    recalibration_images: int

    @property
    def epochs(self) -> int:
        """0 where nobody is asked for the most accurate subnet."""
        return self.finalist_epochs if self.select == "accuracy" and self.protocol == "fast" else 0

    @property
    def finetuning(self) -> Finetuning:
        """Plain SGD, whatever the chosen one is then trained by."""
        return Finetuning(
            self.seed,
            self.protocol,
            self.augment,
            optimizer="sgd",
            finetune_epochs=self.epochs,
            learning_rate=self.learning_rate,
            plain_share=0.0,
            finetune_images=self.finetune_images,
            recalibration_images=self.recalibration_images,
        )


def _run(context: StageContext[Settings]) -> None:
    found: list[Finalist] = []
    if context.settings.epochs:
        found = _train(context)
    write_value(context.path(FINALISTS), tuple(found))


def _train(context: StageContext[Settings]) -> list[Finalist]:
    from flatnas.nets.supernet_file import load_supernet

    evaluations = read_lines(Evaluation, context.path(EVALUATIONS))
    supernet, chosen = load_supernet(context.path(SUPERNET)), finalists(evaluations)
    if len(chosen) == 1:
        return []
    found = []
    for number, evaluation in enumerate(chosen, 1):
        done = context.work / f"{number}.json"
        if not done.exists():
            error = _error(context, supernet, evaluation, f"finalist {number} of {len(chosen)}")
            write_value(done, Finalist(evaluation.arch, evaluation.clean_error, error))
        found.append(read_value(Finalist, done))
    return found


def _error(context: StageContext[Settings], supernet: Supernet, evaluation: Evaluation, what: str) -> float:
    """Error on all validation images after a brief training."""
    from flatnas.training.train import classification_error, predict

    arch, data = evaluation.arch, context.data
    by = context.settings.finetuning
    net = finetuned(context, supernet, arch, by, by.recipe(data), what)
    return classification_error(predict(net, data.val.pixels_nhwc, arch.resolution), data.val.labels)


STAGE = Stage("finalists", reads=(EVALUATIONS, SUPERNET, LABELS), writes=(FINALISTS,), settings=Settings, run=_run)
