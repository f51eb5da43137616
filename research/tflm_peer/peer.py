"""A peer of the generated firmware: TFLite Micro, built from the user's own checkout for the same emulated board.

Nothing of it is part of this project: a tree that the user names is searched by the rules below, and
peer.cc calls its public C++ API. It gets the best of it: an interpreter that knows the model's operators
only, in their int8 variants, without error messages, optimized for size; kernels optimized for speed, CMSIS-NN's where
the tree has them; libc's memcpy. Constants, code, variables, arena and stack are read off as in export.prove.proof.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from export.graph import ExportError
from export.ops.table import OPERATORS
from export.prove.emulate import Emulator
from export.prove.proof import Flash, Int8s, Ram, run_proof, section_sizes
from export.runtime.build import Toolchain, compile_units, link_script, proof_files, run_tool
from export.write.to_c import Sources
from hardware_profiles.cores import FirmwareCore

_MICRO = "tensorflow/lite/micro"
_HEADERS = {  # what must be found somewhere under the checkout, by whose it is
    "flatbuffers": "flatbuffers/flatbuffers.h",
    "gemmlowp": "fixedpoint/fixedpoint.h",
    "ruy": "ruy/profiler/instrumentation.h",
}
_CMSIS_NN = "Include/arm_nnfunctions.h"
_WHOLE = ("tensorflow/compiler", "tensorflow/lite/core", "tensorflow/lite/kernels", "tensorflow/lite/schema")
_FLAT = ("", "arena_allocator", "memory_planner", "tflite_bridge")  # folders of _MICRO without those below
_OF_EVERY_KERNEL = ("kernel_util", "micro_tensor_utils", "decompress", "decompress_common")
_OWN = ("debug_log",)  # peer.cc has its own
_NO_LIBRARY = ("test", "mock", "fake", "recording", "benchmark")  # words in names of files that no application links
_ROOM_FOR_THE_REST = 64 << 10  # bytes of the board's RAM that the arena leaves to variables and stack
_DEFINES = (
    "-DNDEBUG",
    "-DTF_LITE_STATIC_MEMORY",
    "-DTF_LITE_STRIP_ERROR_STRINGS",
    "-DFLATBUFFERS_LOCALE_INDEPENDENT=0",
)
_COMMON = ("-mthumb", "-w", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables")
_CXX = ("-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-asynchronous-unwind-tables")
_EXITS = {
    "code 5": "one inference takes longer than the board's counter can tell",
    "code 6": "its resolver refuses one of the model's operators",
    "code 7": "the arena is too small: AllocateTensors() fails with {arena:,} bytes, all that the board leaves it",
    "code 8": "Invoke() fails",
    "code 9": "it aborts",
}


@dataclass(frozen=True, slots=True)
class Checkout:
    """A source tree of TFLite Micro.

    Attributes:
        root: the folder that has `tensorflow/lite/micro`.
        includes: where its headers and those that it needs are searched.
        cmsis_nn: the folder of CMSIS-NN within it, None where the tree has none.
    """

    root: Path
    includes: tuple[Path, ...]
    cmsis_nn: Path | None

    @property
    def name(self) -> str:
        """What is built of it."""
        return "TFLite Micro with CMSIS-NN" if self.cmsis_nn else "TFLite Micro, reference kernels"


@dataclass(frozen=True, slots=True)
class Peer:
    """What a peer gives and costs where the firmware was proved.

    Attributes:
        mismatches: inputs with any byte that differs from the reference that the firmware is held to.
        instructions: of one inference, without the set-up.
    """

    name: str
    core: str
    emulator: str
    compiler: str
    images: int
    mismatches: int
    instructions: int
    flash_bytes: Flash
    ram_bytes: Ram


def find_checkout(path: Path) -> Checkout:
    """The tree at a path: a generated one, or a checkout with the libraries that it needs somewhere in it.

    Raises:
        ExportError: it is none, or a library that every build needs is missing; says what was searched.
    """
    path = path.resolve()
    if not (path / _MICRO / "micro_interpreter.h").is_file():
        raise ExportError(f"{path} is no TFLite Micro tree: it has no {_MICRO}/micro_interpreter.h")
    wanted = {**_HEADERS, "CMSIS-NN": _CMSIS_NN}
    found = _folders_of(path, wanted.values())
    missing = [f"{header} ({name})" for name, header in _HEADERS.items() if header not in found]
    if missing:
        raise ExportError(
            f"{path} lacks {', '.join(missing)}; generate the tree with the project's own script, which adds them, or "
            "put them below it"
        )
    cmsis_nn = found.get(_CMSIS_NN) if (path / _MICRO / "kernels" / "cmsis_nn").is_dir() else None
    includes = (path, *(found[header] for header in _HEADERS.values()))
    if cmsis_nn:
        includes += (cmsis_nn, cmsis_nn / "Include")
    return Checkout(path, includes, cmsis_nn)


def prove_peer(
    checkout: Checkout,
    tflite: bytes,
    sources: Sources,
    core_name: str,
    core: FirmwareCore,
    inputs: Int8s,
    expected: Int8s,
    toolchain: Toolchain,
    emulator: Emulator,
    directory: Path,
    seconds: float = 600,
) -> Peer:
    """Build the peer for a core, run it there on every input, and compare.

    Args:
        sources: of the same model; their header has the API that the peer is put behind.
        inputs: shape (N, ...) as the model's input.
        expected: outputs, shape (N, ...).
        directory: for the build; must exist.
        seconds: that the emulation may take.

    Raises:
        ExportError: no C++ compiler, the build or the run fails, the arena is too small.
    """
    compiler = cxx_compiler(toolchain)
    arena = core.board.ram_bytes - _ROOM_FOR_THE_REST
    elf = _build(checkout, tflite, sources, core, compiler, arena, directory)
    try:
        answer = run_proof(sources, elf, inputs, emulator, seconds)
    except ExportError as error:
        said = next((text for code, text in _EXITS.items() if f"ended with {code};" in str(error)), str(error))
        raise ExportError(f"{checkout.name} on {core_name}: {said.format(arena=arena)}") from error
    flash, ram = section_sizes(elf, answer.stack_bytes)
    return Peer(
        name=checkout.name,
        core=core_name,
        emulator=emulator.name,
        compiler=f"{toolchain.name} {toolchain.version}",
        images=len(inputs),
        mismatches=int((expected.reshape(len(inputs), -1) != answer.outputs).any(1).sum()),
        instructions=sum(answer.instructions),
        flash_bytes=flash,
        ram_bytes=replace(ram, arena=answer.arena_bytes),
    )


def cxx_compiler(toolchain: Toolchain) -> str:
    """The C++ compiler beside a C compiler.

    Raises:
        ExportError: there is none, or it lacks its standard library; says how to get it.
    """
    found = shutil.which("arm-none-eabi-g++") if toolchain.name == "gcc" else None
    if found is None:
        raise ExportError(
            "TFLite Micro is C++ and needs arm-none-eabi-g++ with its libraries (apt: gcc-arm-none-eabi "
            "libstdc++-arm-none-eabi-newlib); clang of the wheel ziglang has no C++ library for bare metal"
        )
    try:
        run_tool([found, "-fsyntax-only", "-x", "c++", "-include", "cstdint", os.devnull], Path.cwd())
    except ExportError as error:
        raise ExportError(
            f"arm-none-eabi-g++ has no C++ library (apt: libstdc++-arm-none-eabi-newlib): {error}"
        ) from error
    return found


def _build(
    checkout: Checkout, tflite: bytes, sources: Sources, core: FirmwareCore, compiler: str, arena: int, directory: Path
) -> Path:
    """The peer's ELF file: the tree's own sources, and those of the proof with peer.cc in the place of the model."""
    operators = sorted({node.op for node in sources.graph.nodes})
    here = files("research.tflm_peer")
    own = {name: text for name, text in proof_files().items() if name != "libc.c"}  # newlib's are faster
    own["link.ld"] = link_script(own["link.ld"], core)
    own |= {name: (here / name).read_text() for name in ("peer.cc", "peer.h")}
    own["model.h"] = sources.files["model.h"]
    registered = [_registration(op) for op in operators]
    own["peer_operators.h"] = "".join(f"PEER_OPERATOR({method}, {name})\n" for method, name, _ in registered)
    for name, text in own.items():
        (directory / name).write_text(text)
    (directory / "model.tflite").write_bytes(tflite)

    cc = compiler.removesuffix("g++") + "gcc"
    flags = (*core.gcc, *_COMMON, *_DEFINES, *(["-DCMSIS_NN"] if checkout.cmsis_nn else []))
    headers = [f"-I{folder}" for folder in checkout.includes]
    objects = {
        "startup.o": [cc, *flags, "-std=c99", "-O2", "startup.c"],
        "proof.o": [cc, *flags, "-std=c99", "-O2", "-include", "peer.h", "proof.c"],
        "peer.o": [compiler, *flags, *_CXX, *headers, "-O2", f"-DPEER_ARENA_BYTES={arena}", "peer.cc"],
    }
    for number, (path, optimize) in enumerate(_units(checkout, operators)):
        language = [cc, "-std=c99"] if path.suffix == ".c" else [compiler, *_CXX]
        objects[f"{number}.o"] = [*language, *flags, *headers, optimize, str(path)]
    compile_units(objects, directory)
    link = ["-nostartfiles", "-Wl,-T,link.ld", "-Wl,--gc-sections", *objects, "-lm", "-o", "peer.elf"]
    run_tool([compiler, *core.gcc, "-mthumb", *link], directory)
    return directory / "peer.elf"


def _units(checkout: Checkout, operators: list[str]) -> Iterator[tuple[Path, str]]:
    """Sources to compile, each with its optimization."""
    root = checkout.root
    for folder in _WHOLE:
        yield from ((path, "-Os") for path in _library_sources(root / folder, deep=True))
    for folder in _FLAT:
        yield from ((path, "-Os") for path in _library_sources(root / _MICRO / folder))
    kernels = root / _MICRO / "kernels"
    for stem in _OF_EVERY_KERNEL:
        yield from ((path, "-Os") for path in _variants(kernels, stem))
    for stem in sorted({_registration(op)[2] for op in operators}):
        special = _variants(kernels / "cmsis_nn", stem) if checkout.cmsis_nn else []
        kernel = special or _variants(kernels, stem)
        if not kernel:
            raise ExportError(f"{kernels} has no {stem}.cc; a tree made for CMSIS-NN's kernels needs {_CMSIS_NN}")
        yield from ((path, "-O2") for path in (*kernel, *_variants(kernels, f"{stem}_common")))
    if checkout.cmsis_nn:
        for path in sorted((checkout.cmsis_nn / "Source").rglob("*.c")):
            if not path.stem.endswith(("_f16", "_f32", "_flt")):
                yield path, "-O2"


def _registration(op: str) -> tuple[str, str, str]:
    registration = OPERATORS[op].tflm
    assert registration is not None, op  # of all that the firmware does
    return registration


def _variants(folder: Path, stem: str) -> list[Path]:
    return [path for path in (folder / f"{stem}.cc", folder / f"{stem}.cpp") if path.is_file()]


def _library_sources(folder: Path, deep: bool = False) -> list[Path]:
    paths = [path for pattern in ("*.cc", "*.cpp") for path in folder.glob(f"**/{pattern}" if deep else pattern)]
    return sorted(p for p in paths if p.stem not in _OWN and not any(word in p.stem for word in _NO_LIBRARY))


def _folders_of(root: Path, headers: Iterable[str]) -> dict[str, Path]:
    """Header to the folder that it is included from, the least deep one; headers that are not there are left out."""
    found: dict[str, Path] = {}
    for folder, _, _ in sorted(os.walk(root), key=lambda entry: entry[0].count(os.sep)):
        for header in headers:
            if header not in found and (Path(folder) / header).is_file():
                found[header] = Path(folder)
    return found
