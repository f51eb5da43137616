"""Compile a model's sources: for an emulated core as an ELF file, or for this host as a shared library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from export.graph import ExportError
from hardware_profiles.cores import FirmwareCore

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
HOW_TO_GET_ONE = "pip install 'flatnas-deploy[firmware]', or install arm-none-eabi-gcc (apt: gcc-arm-none-eabi)"
_SECONDS = 120  # of one compiler call
_PROBE_SECONDS = 30  # of a trivial one


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A cross compiler.

    Attributes:
        name: `gcc` or `zig` (clang from the wheel `ziglang`).
        version: as it says it.
        command: how to call it.
    """

    name: str
    version: str
    command: tuple[str, ...]

    def flags(self, core: FirmwareCore) -> tuple[str, ...]:
        """What chooses the core."""
        if self.name == "zig":
            abi = "eabihf" if "+mve" in core.zig else "eabi"
            return ("-target", f"thumb-freestanding-{abi}", f"-mcpu={core.zig}")
        return (*core.gcc, "-mthumb")


def find_toolchain() -> Toolchain | None:
    """GCC where it is installed, else the clang of the wheel `ziglang`, else None."""
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc:
        return Toolchain("gcc", run_tool([gcc, "-dumpfullversion"], Path.cwd()).strip(), (gcc,))
    if find_spec("ziglang"):
        zig = (sys.executable, "-m", "ziglang")
        return Toolchain("zig", run_tool([*zig, "version"], Path.cwd()).strip(), (*zig, "cc"))
    return None


def build_proof(sources: Mapping[str, str], core: FirmwareCore, toolchain: Toolchain, directory: Path) -> Path:
    """The proof's ELF file: the model, startup code and the harness that runs it on an emulated board.

    Args:
        sources: name to text, as export.write.to_c makes them.
        directory: for everything that is made; must exist.

    Raises:
        ExportError: the compiler fails; its message is shown.
    """
    proof = proof_files()
    proof["link.ld"] = link_script(proof["link.ld"], core)
    for name, text in {**sources, **proof}.items():
        (directory / name).write_text(text)
    units = [name for name in (*sources, *proof) if name.endswith((".c", ".S"))]
    common = [*toolchain.command, *toolchain.flags(core), "-std=c99", "-O2", "-ffreestanding", *WARNINGS]
    common += ["-ffunction-sections", "-fdata-sections", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables"]
    hook = {"model.c": ["-include", "layer_hook.h"]}
    objects = {f"{Path(name).stem}.o": [*common, *hook.get(name, []), name] for name in units}
    compile_units(objects, directory)
    libraries = ["-nostdlib", "-lgcc"] if toolchain.name == "gcc" else []
    run_tool([*common, "-Wl,-T,link.ld", "-Wl,--gc-sections", *objects, *libraries, "-o", "proof.elf"], directory)
    return directory / "proof.elf"


def proof_files() -> dict[str, str]:
    """Name to text of what runs a model on an emulated board."""
    return {f.name: f.read_text() for f in (files("export") / "runtime" / "proof").iterdir() if f.is_file()}


def compile_units(objects: Mapping[str, Sequence[str]], directory: Path) -> None:
    """Compile object files, each by its command, on all processors.

    Raises:
        ExportError: the compiler fails; its message is shown.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda unit: run_tool([*objects[unit], "-c", "-o", unit], directory), objects):
            pass


def host_compiler() -> tuple[str, ...] | None:
    """How to call a C compiler for this machine that works: cc, gcc or clang, else the clang of the wheel `ziglang`.

    One without headers or linker is none.
    """
    commands = [(path,) for name in ("cc", "gcc", "clang") if (path := shutil.which(name))]
    zig = [(sys.executable, "-m", "ziglang", "cc")] if find_spec("ziglang") else []
    return next((command for command in (*commands, *zig) if _compiles(command)), None)


@lru_cache
def _compiles(command: tuple[str, ...]) -> bool:
    with tempfile.TemporaryDirectory(prefix="pipeline-cc-") as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <stdint.h>\n#include <string.h>\nint32_t probe(void) { return 0; }\n")
        call = [*command, "-shared", "-fPIC", "-o", str(Path(folder, "probe.so")), str(source)]
        try:
            return subprocess.run(call, capture_output=True, timeout=_PROBE_SECONDS).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False


def build_library(
    sources: Mapping[str, str], directory: Path, flags: Sequence[str] = ("-O3", "-march=native", "-ffp-contract=fast")
) -> Path:
    """A shared library of the model for this machine, its arena one per thread.

    Raises:
        ExportError: no compiler is found, or it fails.
    """
    compiler = host_compiler()
    if compiler is None:
        raise ExportError("no C compiler was found; install one, or pip install 'flatnas-deploy[firmware]'")
    batch = (files("export") / "runtime" / "host" / "batch.c").read_text()
    for name, text in {**sources, "batch.c": batch}.items():
        (directory / name).write_text(text)
    units = [name for name in (*sources, "batch.c") if name.endswith(".c")]
    arena = "-DMODEL_ARENA_STORAGE=static __thread"
    run_tool([*compiler, "-std=c99", *flags, *WARNINGS, arena, "-shared", "-fPIC", *units, "-o", "model.so"], directory)
    return directory / "model.so"


def link_script(template: str, core: FirmwareCore) -> str:
    """A linker script with a board's memories."""
    board = core.board
    values = {
        "FLASH_ORIGIN": board.flash_origin,
        "FLASH_LENGTH": board.flash_bytes,
        "RAM_ORIGIN": board.ram_origin,
        "RAM_LENGTH": board.ram_bytes,
    }
    for name, value in values.items():
        template = template.replace(f"@{name}@", hex(value))
    return template


def run_tool(command: Sequence[str], directory: Path) -> str:
    """What a command prints on standard output.

    Raises:
        ExportError: it fails or hangs; says what it said.
    """
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{Path(command[0]).name} did not end within {_SECONDS} s") from error
    if done.returncode:
        raise ExportError(f"{Path(command[0]).name} failed: {done.stderr.strip()[:2000]}")
    return done.stdout
