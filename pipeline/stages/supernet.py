"""Supernet: the user's or the shipped one, which gets a new head for other classes than its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.files import write_bytes
from pipeline.finetuning import training_images
from pipeline.runs.layout import LABELS, SUPERNET
from pipeline.runs.stage import Stage, StageContext
from pipeline.shipped import shipped_supernet
from pipeline.training import divergence_told

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from flatnas.nets.supernet import Supernet


_JUDGED_IMAGES = 1000  # at most
_STEPS = 50  # of an epoch that a preset counts, however many pictures there are


@dataclass(frozen=True, slots=True)
class Starting:
    """Which supernet, and how long its new head is trained; see `pipeline.config`."""

    dataset: str
    class_names: tuple[str, ...]
    resolution: int | None
    supernet_sha256: str | None
    shipped_supernet_sha256: str | None
    seed: int
    adapt_epochs: int


def _run(context: StageContext[Starting]) -> None:
    from flatnas.nets.supernet_file import load_supernet, serialize_supernet, with_new_head
    from flatnas.training.head import head_recipe, train_head

    settings, data = context.settings, context.data
    if context.places.supernet:
        path = Path(context.places.supernet)
        load_supernet(path)  # refuses damaged weights before they are copied
        if mismatch := _mismatch(path, data):
            dataset = context.places.dataset or settings.dataset
            raise PipelineError(
                f"{path} is for {mismatch}: call 'pipeline supernet adapt --from {path} --dataset {dataset}"
                f"{f' --resolution {settings.resolution}' if settings.resolution else ''} --out DIR' first"
            )
        write_bytes(context.path(SUPERNET), path.read_bytes())
        return
    with shipped_supernet() as path:
        if settings.dataset == "cifar10":
            write_bytes(context.path(SUPERNET), path.read_bytes())
            return
        supernet = with_new_head(load_supernet(path), len(data.class_names), data.resolution)
    data = replace(data, train=training_images(context))
    recipe = head_recipe(_STEPS * settings.adapt_epochs, settings.seed, data)
    remedy = "name a supernet of your own with --supernet ('pipeline supernet adapt' makes one)"
    with context.report.track("training the supernet's head") as advance, divergence_told(remedy):
        train_head(
            supernet,
            data,
            recipe,
            checkpoint=context.work / "training.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    context.report.line(
        f"    balanced validation error of the smallest subnet: {_error_of_smallest(supernet, data):.1%}"
    )
    write_bytes(context.path(SUPERNET), serialize_supernet(supernet))  # nameless: classes may be renamed later


def _error_of_smallest(supernet: Supernet, data: Dataset) -> float:
    """What people are told of the head: the balanced error of the smallest subnet on some validation images."""
    from flatnas.training.train import balanced_error, predict, recalibrate

    arch = supernet.space.smallest
    net, val = supernet.extract(arch), data.val.subset(_JUDGED_IMAGES)
    recalibrate(net, data.train.subset(_JUDGED_IMAGES).pixels_nhwc, arch.resolution)
    return balanced_error(predict(net, val.pixels_nhwc, arch.resolution), val.labels)


def _mismatch(path: Path, data: Dataset) -> str | None:
    """What a supernet is for and what the data are instead; None where they agree."""
    from flatnas.nets.supernet_file import read_class_names, read_space

    space, trained = read_space(path), read_class_names(path)
    wanted, has = (len(data.class_names), data.resolution), (space.num_classes, space.resolutions[-1])
    if wanted != has:
        return f"{has[0]} classes at {has[1]} pixels, and '{data.name}' has {wanted[0]} at {wanted[1]}"
    for theirs, ours in zip(trained, data.class_names, strict=False):
        if theirs != ours:
            return f"other classes, with '{theirs}' where '{data.name}' has '{ours}'"
    return None


STAGE = Stage("supernet", reads=(LABELS,), writes=(SUPERNET,), settings=Starting, run=_run)
