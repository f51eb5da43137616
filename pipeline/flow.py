"""The product, stage by stage: read this first.

    hardware profile -> data -> supernet -> search -> finetune -> quantize -> ONNX -> TFLite -> C firmware -> audit
    -> report

Each stage reads named files of the run directory (pipeline.runs.layout) and writes named files, so any of them can be
run again alone, and a run that was killed goes on where it stopped. A stage is kept while its settings, its files and
the code that it reaches are those that it ran with (pipeline.runs.runner).
"""

from __future__ import annotations

from pipeline.stages import (
    audit,
    finalists,
    finetune,
    firmware,
    parity,
    quantize,
    report,
    search,
    select,
    supernet,
    teacher,
    to_onnx,
    to_tflite,
)

STAGES = (
    teacher.STAGE,  # soft labels of the training images, where there are some
    supernet.STAGE,  # shared weights of every subnet: shipped for CIFAR-10, adapted to other data
    search.STAGE,  # NSGA-II with surrogates over (F_AR, MACs) inside the target's budgets
    finalists.STAGE,  # the most accurate subnet of each resolution, trained for a while
    select.STAGE,  # one feasible subnet
    finetune.STAGE,  # SGD, then SAM
    to_onnx.STAGE,  # batch norm folded, float ONNX
    quantize.STAGE,  # int8 as QDQ ONNX, by the cheapest method that keeps the accuracy
    to_tflite.STAGE,  # the same scales as TFLite: the bytes that ship
    firmware.STAGE,  # the same as C for a microcontroller, proved on its emulated core
    parity.STAGE,  # every runtime computes the same
    audit.STAGE,  # float and int8 on clean and corrupted test images
    report.STAGE,  # the verdict, for programs and for people
)
