"""Fine-tune: the selected subnet, from its inherited weights, by SGD and then sharpness-aware minimization."""

from __future__ import annotations

from flatnas.space.arch import Arch
from pipeline.files import write_bytes
from pipeline.finetuning import Finetuning, finetuned
from pipeline.runs.layout import ARCH, LABELS, SUPERNET, WEIGHTS
from pipeline.runs.stage import Stage, StageContext
from pipeline.values import read_value


def _run(context: StageContext[Finetuning]) -> None:
    from safetensors.torch import save

    from flatnas.nets.supernet_file import load_supernet

    arch, by = read_value(Arch, context.path(ARCH)), context.settings
    net = finetuned(context, load_supernet(context.path(SUPERNET)), arch, by, by.recipe(context.data), "fine-tuning")
    write_bytes(context.path(WEIGHTS), save({n: t.contiguous() for n, t in net.state_dict().items()}))


STAGE = Stage("finetune", reads=(ARCH, SUPERNET, LABELS), writes=(WEIGHTS,), settings=Finetuning, run=_run)
