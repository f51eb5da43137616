"""TFLite: int8 with the scales of the ONNX taken over exactly; on mobile float, float16 and dynamic range, too.

Channels of the int8 file that no output depends on are left out.

Mobile files carry TFLite's own metadata and the labels; a microcontroller's are stripped to what runs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.config import ResizeName
from pipeline.files import write_bytes
from pipeline.results.model_facts import ModelFacts, ModelInput, ModelOutput
from pipeline.runs.layout import (
    DYNAMIC_TFLITE,
    FLOAT16_TFLITE,
    FLOAT_ONNX,
    FLOAT_TFLITE,
    INT8_ONNX,
    INT8_TFLITE,
    MODEL,
)
from pipeline.runs.stage import Stage, StageContext
from pipeline.values import write_value


@dataclass(frozen=True, slots=True)
class Writing:
    """Which formats the target takes, the classes in the order of the logits, and how pictures got their shape."""

    kind: Literal["mcu", "mobile"]
    class_names: tuple[str, ...]
    resize: ResizeName


def _run(context: StageContext[Writing]) -> None:
    from export.passes.dead_channels import without_dead_channels
    from export.read_onnx import read_onnx
    from export.write.mobile import to_dynamic_range, to_float16
    from export.write.tflite_metadata import to_tflite_with_metadata
    from export.write.to_tflite import to_tflite

    mobile = context.settings.kind == "mobile"
    shrunk = without_dead_channels(read_onnx(context.path(INT8_ONNX)))
    graph = shrunk.graph
    content = to_tflite_with_metadata(graph) if mobile else to_tflite(graph)
    write_bytes(context.path(INT8_TFLITE), content)
    if mobile:
        real = read_onnx(context.path(FLOAT_ONNX))
        forms = {FLOAT_TFLITE: real, FLOAT16_TFLITE: to_float16(real), DYNAMIC_TFLITE: to_dynamic_range(real)}
        for name, form in forms.items():
            write_bytes(context.path(name), to_tflite_with_metadata(form))
    image, logits = graph.tensor(graph.inputs[0]), graph.tensor(graph.outputs[0])
    assert image.qparams is not None
    assert logits.qparams is not None
    facts = ModelFacts(
        Path(INT8_TFLITE).name,
        hashlib.sha256(content).hexdigest(),
        context.settings.class_names,
        ModelInput(
            shape=image.shape,
            scale=float(image.qparams.scale.item()),
            zero_point=int(image.qparams.zero_point.item()),
            resize=context.settings.resize,
        ),
        ModelOutput(
            shape=logits.shape,
            scale=float(logits.qparams.scale.item()),
            zero_point=int(logits.qparams.zero_point.item()),
        ),
        removed_channels=len(shrunk.removed),
    )
    write_value(context.path(MODEL), facts)


STAGE = Stage(
    "to_tflite",
    reads=(FLOAT_ONNX, INT8_ONNX),
    writes=(INT8_TFLITE, MODEL, FLOAT_TFLITE, FLOAT16_TFLITE, DYNAMIC_TFLITE),
    settings=Writing,
    run=_run,
)
