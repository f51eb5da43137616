"""`MODEL_CARD.md`: what travels with the model file, in the usual sections of a model card (Mitchell et al. 2019).

Every value that enters the text is escaped for Markdown, so that no label or path can become markup.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from flatnas.training.fitting import LARGE
from pipeline.config import RunConfig
from pipeline.report import quantities
from pipeline.report.budget import budget_rows, measured, requirement
from pipeline.report.classes import class_rows
from pipeline.report.run_report import RunReport
from pipeline.results.quantization import Quantization


class _Markdown(str):
    """Text that already is Markdown and is not escaped again."""


_RUNTIMES = {
    "firmware": "the C sources in `model/firmware`",
    "tflm": "TFLite Micro as the runtime",
    "litert": "LiteRT as the runtime",
}


def render_card(report: RunReport, labels: Sequence[str], config: RunConfig) -> str:
    """The model card.

    Args:
        report: the run.
        labels: names of the classes, in the order of the outputs.
        config: what was asked of the run.
    """
    from jinja2 import Environment, StrictUndefined

    from flatnas.corruptions import STANDARD_15

    environment = Environment(
        autoescape=False,
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in ("count", "duration", "milliseconds", "percent", "plain", "points", "size"):
        environment.filters[name] = getattr(quantities, name)
    environment.filters |= {"requirement": requirement, "measured": measured}
    environment.filters["code"] = code_span
    template = environment.from_string(files("pipeline.report").joinpath("model_card.md.jinja").read_text("utf-8"))
    return template.render(
        r=report,
        labels=labels,
        c=report.audit.classifier,
        class_rows=class_rows(report.audit.classifier) if report.audit.classifier else [],
        budget=budget_rows(report),
        runtime=_Markdown(_RUNTIMES[report.footprint.runtime]),
        on_front=any(e.arch == report.arch for e in report.search.front),
        finetuning=_finetuning(config, report.teacher, report.dataset.train),
        quantization=_quantization(report.quantization, config),
        latency=quantities.interval_ms(report.footprint.latency_ms.low, report.footprint.latency_ms.high),
        missing=[name for name in STANDARD_15 if name not in report.audit.robustness.corruptions],
        extras=[name for name in report.audit.robustness.corruptions if name not in STANDARD_15],
    )


_TEACHERS = {
    None: "",
    "shipped": ", following the soft labels of a larger network",
    "trained": ", following the soft labels of a larger network that was trained on the same images",
}


def _finetuning(config: RunConfig, teacher: str | None, images: int) -> str:
    """How the subnet got its weights.

    Args:
        images: that trained; of few, epochs count what CIFAR-10's would have seen.
    """
    few = images < LARGE
    epochs, plain = config.training.finetune_epochs, config.training.plain_share
    if config.protocol == "paper":
        return "adaptive SAM (ASAM) on training images, as FlatNAS was published, from the supernet's weights"
    if epochs == 0:
        return "none; the supernet's weights with batch norms recalibrated on training images"
    method = "sharpness-aware minimization (SAM)" if config.training.optimizer == "sam" else "adaptive SAM (ASAM)"
    if config.training.optimizer == "sgd":
        method = "AdamW without SAM" if few else "SGD without SAM"
    elif plain:
        method = f"{'AdamW' if few else 'SGD'}, and {method} in the last {quantities.percent(1 - plain, 0)}"
    spent = (
        f"as many of them as {epochs} epochs of CIFAR-10 have, at most 100 times each" if few else f"epochs: {epochs}"
    )
    augmix = ", with AugMix" if config.training.augment == "augmix" else ""
    return f"{method} on training images{augmix}, {spent}{_TEACHERS[teacher]}, from the supernet's weights"


def _quantization(record: Quantization, config: RunConfig) -> str:
    """How the net became int8."""
    (steps,) = (attempt.steps for attempt in record.attempts if attempt.method == record.method)
    kept = [step.name for step in steps if step.name != "minmax"]
    ranges = [name for name in kept if name not in ("equalization", "bias correction")]
    techniques = [
        "least and greatest value",
        *(["equalization"] if "equalization" in kept else []),
        *([f"narrower for {len(ranges)} groups of tensors"] if ranges else []),
        *(["bias correction"] if "bias correction" in kept else []),
    ]
    images = quantities.count(record.calibration_images)
    text = f"int8, per-channel weights, ranges from {images} training images ({', '.join(techniques)})"
    if record.method != "qat":
        return text
    return (
        f"{text}, then quantization-aware training of the weights on training images, "
        f"with SAM, epochs: {config.training.qat_epochs}; the ranges stayed"
    )


def escaped(value: object) -> str:
    """A value as one line of plain Markdown text."""
    if isinstance(value, _Markdown):
        return value
    return re.sub(r"([\\`*_\[\]<>|#&~!$])", r"\\\1", re.sub(r"\s+", " ", str(value)))


def code_span(value: object) -> _Markdown:
    """A value as a code span: a fence longer than any run of backticks within; a pipe is escaped, as in a table."""
    text = " ".join(str(value).split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text or not text else ""
    return _Markdown(f"{fence}{pad}{text}{pad}{fence}")
