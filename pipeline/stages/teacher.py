"""Teacher: soft labels of the training images for every training that follows; shipped for CIFAR-10, or made here."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config import AugmentName, TeacherName
from pipeline.errors import PipelineError
from pipeline.files import write_bytes
from pipeline.runs.layout import LABELS
from pipeline.runs.stage import Stage, StageContext
from pipeline.shipped import shipped_labels
from pipeline.training import divergence_told


@dataclass(frozen=True, slots=True)
class Teaching:
    """Whose labels, and how a teacher is trained; see `pipeline.config`."""

    teacher: TeacherName
    augment: AugmentName
    seed: int
    teacher_epochs: int
    shipped_labels_sha256: str | None


def _run(context: StageContext[Teaching]) -> None:
    settings, data = context.settings, context.data
    if settings.teacher == "train":
        write_bytes(context.path(LABELS), _made(context))
        return
    if settings.teacher == "none":
        return
    from flatnas.training.soft_labels import load_labels

    with shipped_labels(robust=settings.augment != "none") as path:
        if path is not None and load_labels(path).data_sha256 == data.content_sha256:
            write_bytes(context.path(LABELS), path.read_bytes())
        elif settings.teacher == "labels":
            raise PipelineError(f"no soft labels of '{data.name}' are shipped for this: --teacher train makes them")


def _made(context: StageContext[Teaching]) -> bytes:
    from flatnas.training.soft_labels import serialize_labels
    from flatnas.training.teacher import label, new_teacher, teacher_recipe, train_teacher

    settings, data = context.settings, context.data
    recipe = teacher_recipe(settings.teacher_epochs, settings.seed, data, augmix=settings.augment == "augmix")
    net = new_teacher(data, settings.seed)
    with context.report.track("training the teacher") as advance, divergence_told("leave out --teacher train"):
        error = train_teacher(
            net,
            data,
            recipe,
            checkpoint=context.work / "teacher.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    context.report.line(f"    the teacher's error on validation images: {error:.1%}")
    return serialize_labels(label(net, data, temperature=1.0))


STAGE = Stage("teacher", reads=(), writes=(LABELS,), settings=Teaching, run=_run)
