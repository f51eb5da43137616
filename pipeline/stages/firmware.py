"""Firmware: the model as C for an MCU target, and where tools are found, the proof on its emulated core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.write.package import possible_files
from hardware_profiles.cores import FIRMWARE_CORES
from hardware_profiles.profile import HardwareProfile
from pipeline.firmware_proof import ELF, PROOF, emulate, find_tools, generate, write_package
from pipeline.results.firmware import FirmwareProof
from pipeline.results.model_facts import ModelFacts
from pipeline.runs.layout import FIRMWARE, INT8_TFLITE, MODEL
from pipeline.runs.stage import Stage, StageContext
from pipeline.values import read_value, write_value


@dataclass(frozen=True, slots=True)
class Building:
    """For which target, proved on how many images, by which tools."""

    profile: HardwareProfile
    firmware_images: int
    firmware_tools: str | None
    device_runtimes: tuple[str, ...]


def _run(context: StageContext[Building]) -> None:
    from flatnas.data.resize import resize

    profile = context.settings.profile
    if profile.core not in FIRMWARE_CORES:
        return
    model, directory = read_value(ModelFacts, context.path(MODEL)), context.path(FIRMWARE)
    tflite = context.path(INT8_TFLITE).read_bytes()
    sources = generate(tflite, profile, model.labels)
    write_package(sources, profile, directory)
    tools = find_tools(profile)
    if tools.missing:
        context.report.line(f"  firmware was not emulated: {tools.missing}")
        write_value(directory / PROOF, FirmwareProof((), skipped=tools.missing))
        return
    resolution = model.input.shape[1]
    pixels = resize(context.data.val.subset(context.settings.firmware_images).pixels_nhwc, resolution)
    with context.report.track("emulating") as advance:
        advance(0, 1, profile.core)
        emulate(tflite, sources, profile, tools, (pixels.astype(np.int16) - 128).astype(np.int8), directory)


STAGE = Stage(
    "firmware",
    reads=(INT8_TFLITE, MODEL),
    writes=tuple(f"{FIRMWARE}/{path}" for path in (*possible_files(), ELF, PROOF)),
    settings=Building,
    run=_run,
)
