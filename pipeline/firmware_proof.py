"""Firmware of a model for a target: sources into a directory, and the proof on an emulated core."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware_profiles.cores import FIRMWARE_CORES, instruction_set
from hardware_profiles.profile import HardwareProfile
from pipeline.errors import InfeasibleBudgetError, PipelineError
from pipeline.files import write_bytes, writing_to
from pipeline.results.firmware import FirmwareProof
from pipeline.values import write_value

if TYPE_CHECKING:
    from export.prove.proof import Proof
    from export.write.to_c import Sources

ELF, PROOF = "proof.elf", "proof.json"
_HEADER = "src/model.h"  # tells that a directory is ours
MIN_INPUTS = 20


class DoesNotFitError(InfeasibleBudgetError):
    """The model needs more flash or RAM than the board has: an answer, not a wrong use."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a proof needs; `missing` says what is not there and how to get it."""

    toolchain: Any
    emulator: Any
    missing: str | None


def find_tools(profile: HardwareProfile) -> Tools:
    """The compiler and the emulator for a target's core."""
    from export.prove.emulate import find_emulator, how_to_get_one
    from export.runtime.build import HOW_TO_GET_ONE, find_toolchain

    core = FIRMWARE_CORES[profile.core]
    toolchain, emulator = find_toolchain(), find_emulator(core)
    missing = None
    if toolchain is None:
        missing = f"no compiler for {profile.core} was found; {HOW_TO_GET_ONE}"
    elif emulator is None:
        missing = f"no emulator of {profile.core} was found; {how_to_get_one(core)}"
    return Tools(toolchain, emulator, missing)


def generate(tflite: bytes, profile: HardwareProfile, labels: tuple[str, ...] = (), *, shrink: bool = True) -> Sources:
    """The C sources of a model for a target's core.

    Args:
        shrink: leave out the channels that no output depends on.

    Raises:
        PipelineError: the target's core is none that firmware is made for.
        DoesNotFitError: the board has less flash or RAM than the model needs.
    """
    from export.write.to_c import to_c

    kernels = instruction_set(profile.core, profile.features)
    if kernels is None:
        raise PipelineError(f"{profile.name} has a {profile.core}; firmware is made for {', '.join(FIRMWARE_CORES)}")
    sources = to_c(tflite, kernels, version=version("flatnas-deploy"), labels=labels, shrink=shrink)
    _check_fits(sources, profile)
    return sources


def write_package(sources: Sources, profile: HardwareProfile, directory: Path) -> None:
    """Write sources, build files and example; files of an earlier model are removed.

    Raises:
        PipelineError: the directory holds files of someone else under these names, or can't be written.
    """
    from export.write.package import package_files, possible_files

    _check_ours(directory, possible_files())
    with writing_to(directory):
        package = package_files(sources, FIRMWARE_CORES[profile.core], profile.compiler_flags)
        for path in sorted(package, key=lambda path: path != _HEADER):
            write_bytes(directory / path, package[path].encode())
        for path in {*possible_files(), ELF, PROOF} - package.keys():
            (directory / path).unlink(missing_ok=True)


def _check_ours(directory: Path, files: Sequence[str]) -> None:
    """Raises:
    PipelineError: files would be replaced that are not an earlier package's.
    """
    from export.write.source import MADE_BY

    present = [file for file in files if (directory / file).exists()]
    header = directory / _HEADER
    if present and not (header.is_file() and MADE_BY in header.read_text(errors="replace")):
        raise PipelineError(
            f"{directory} holds {present[0]}, which firmware would replace; name an empty or new directory with --out"
        )


def emulate(
    tflite: bytes,
    sources: Sources,
    profile: HardwareProfile,
    tools: Tools,
    inputs: np.ndarray[Any, Any],
    directory: Path,
) -> FirmwareProof:
    """Build, run every input on the emulated core, compare, and write `proof.elf` and `proof.json`.

    Args:
        inputs: int8, shape (N, ...) as the model's input.

    Raises:
        DoesNotFitError: code and constants together need more flash than the board has.
    """
    from export.prove.proof import prove, reference_outputs

    references = reference_outputs(tflite, inputs)
    with tempfile.TemporaryDirectory() as work:
        build = Path(work)
        proof = prove(
            sources,
            profile.core,
            FIRMWARE_CORES[profile.core],
            inputs,
            references,
            tools.toolchain,
            tools.emulator,
            build,
        )
        write_bytes(directory / ELF, (build / ELF).read_bytes())
    record = FirmwareProof((proof,), removed_channels=len(sources.removed))
    write_value(directory / PROOF, record)
    _check_flash(proof, profile)
    return record


def _check_fits(sources: Sources, profile: HardwareProfile) -> None:
    memory, block = sources.plan.memory, profile.largest_block_bytes
    over = memory.peak_bytes - block
    if over > 0:
        raise DoesNotFitError(
            f"{profile.name} has {block:,} bytes of RAM in one block, and the model needs {over:,} more: its arena is "
            f"{memory.peak_bytes:,}, and layer '{sources.layers[memory.peak_op].title}' needs most of it"
        )
    largest = max(sources.layers, key=lambda layer: layer.constant_bytes)
    constants = sum(layer.constant_bytes for layer in sources.layers)
    if constants > profile.flash_bytes:
        raise DoesNotFitError(
            f"{profile.name} has {profile.flash_bytes:,} bytes of flash, and the model's constants alone need "
            f"{constants - profile.flash_bytes:,} more; layer '{largest.title}' has {largest.constant_bytes:,} of them"
        )


def _check_flash(proof: Proof, profile: HardwareProfile) -> None:
    over = proof.flash_bytes.total - profile.flash_bytes
    if over > 0:
        raise DoesNotFitError(
            f"{profile.name} has {profile.flash_bytes:,} bytes of flash; the firmware needs {over:,} more"
        )
