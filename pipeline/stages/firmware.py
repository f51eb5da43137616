"""Firmware: the model as C for an MCU target, and where tools are found, the proof on its emulated core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from export.firmware.package import possible_files
from hardware_profiles.firmware import CORES
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import read_json, write_json
from pipeline.config import RunConfig
from pipeline.firmware import ELF, PROOF, emulate, find_tools, generate, write_package
from pipeline.results import FirmwareRecord
from pipeline.runner import Stage, StageContext

_INT8, _MODEL, _FOLDER = "model/model.int8.tflite", "model/model.json", "model/firmware"


def _run(context: StageContext) -> None:
    from flatnas.data.resize import resize

    if context.profile.core not in CORES:
        return
    told, directory = read_json(context.path(_MODEL)), context.path(_FOLDER)
    tflite = context.path(_INT8).read_bytes()
    sources = generate(tflite, context.profile, tuple(told["labels"]))
    write_package(sources, context.profile, directory)
    tools = find_tools(context.profile)
    if tools.missing:
        context.report.line(f"  firmware was not emulated: {tools.missing}")
        write_json(directory / PROOF, FirmwareRecord(cores=[], skipped=tools.missing).model_dump())
        return
    resolution = told["input"]["shape"][1]
    pixels = resize(context.data.val.subset(context.counts.firmware_images).pixels_nhwc, resolution)
    with context.report.track("emulating") as advance:
        advance(0, 1, context.profile.core)
        emulate(tflite, sources, context.profile, tools, (pixels.astype(np.int16) - 128).astype(np.int8), directory)


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    settings: dict[str, Any] = {
        "core": profile.core,
        "features": list(profile.features),
        "compiler flags": list(profile.compiler_flags),
        "images": config.counts.firmware_images,
    }
    if profile.core in CORES:  # a proof that lacked a tool is made once the tool is there
        tools = find_tools(profile)
        settings["toolchain"] = tools.toolchain and f"{tools.toolchain.name} {tools.toolchain.version}"
        settings["emulator"] = tools.emulator and tools.emulator.name
    return settings


STAGE = Stage(
    "firmware",
    needs=(_INT8, _MODEL),
    gives=(),
    settings=_settings,
    run=_run,
    may_give=tuple(f"{_FOLDER}/{path}" for path in (*possible_files(), ELF, PROOF)),
)
