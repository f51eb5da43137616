"""The proof: what the emulated firmware computes, byte by byte, and what it costs.

Every output must equal the integer interpreter's (export.ops.interpreter) and, where its wheel is installed, TFLite
Micro's. Costs are read from the ELF file (flash, RAM), from paint on the stack, and from the emulator's clock
(instructions; these are not cycles).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.prove.emulate import Emulator
from export.read_tflite import read_tflite
from export.runtime.build import Toolchain, build_proof
from export.write.to_c import Sources
from hardware_profiles.cores import FirmwareCore

Int8s = npt.NDArray[np.int8]
_CALIBRATION = 1_000_000  # instructions, see proof.c
_NO_TRACE = 0xFFFFFFFF
_CODE, _DATA = (".vectors", ".text"), (".rodata", ".data")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first value that differs: of which input, after which layer, at which index of its output."""

    input: int
    layer: str
    index: int
    wanted: int
    got: int


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What a layer did and the instructions it took, to within one tick of the emulator's clock.

    Attributes:
        reason: why it ran in portable C though the core has a faster kernel of its kind; None where it did not.
    """

    name: str
    kernel: str
    instructions: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Flash:
    """Bytes of flash: code with startup and vectors, constants."""

    code: int
    data: int
    total: int

    @staticmethod
    def of(code: int, data: int) -> Flash:
        """With their sum."""
        return Flash(code, data, code + data)


@dataclass(frozen=True, slots=True)
class Ram:
    """Bytes of RAM: the arena with input and scratch, other variables, and the deepest stack below the call."""

    arena: int
    variables: int
    stack: int
    total: int

    @staticmethod
    def of(arena: int, variables: int, stack: int) -> Ram:
        """With their sum."""
        return Ram(arena, variables, stack, arena + variables + stack)


@dataclass(frozen=True, slots=True)
class Proof:
    """One core's proof.

    Attributes:
        references: what the outputs were compared with.
        images: inputs run.
        mismatches: inputs with any byte that differs from a reference.
        instructions: of one inference.
    """

    core: str
    emulator: str
    compiler: str
    references: tuple[str, ...]
    images: int
    mismatches: int
    first_mismatch: Mismatch | None
    instructions: int
    layers: tuple[LayerCost, ...]
    flash_bytes: Flash
    ram_bytes: Ram


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a run says (proof.bin, see proof.c)."""

    stack_bytes: int
    arena_bytes: int
    instructions: tuple[int, ...]  # per layer
    outputs: Int8s
    trace: tuple[Int8s, ...]  # each layer's output for the one input, if any


def prove(
    sources: Sources,
    core_name: str,
    core: FirmwareCore,
    inputs: Int8s,
    references: dict[str, Int8s],
    toolchain: Toolchain,
    emulator: Emulator,
    directory: Path,
    seconds: float = 600,
) -> Proof:
    """Build a model for a core, run it there on every input, and compare.

    Args:
        inputs: shape (N, ...) as the model's input.
        references: name to the outputs that are expected, shape (N, ...).
        directory: for the build; must exist.
        seconds: that the emulation may take.

    Raises:
        ExportError: the build or the emulation fails.
    """
    elf = build_proof(sources.files, core, toolchain, directory)
    answer = run_proof(sources, elf, inputs, emulator, seconds)
    expected = [outputs.reshape(len(inputs), -1) for outputs in references.values()]
    wrong = np.zeros(len(inputs), bool)
    for outputs in expected:
        wrong |= (outputs != answer.outputs).any(1)
    mismatch = None
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        traced = run_proof(sources, elf, inputs, emulator, seconds, trace=index)
        mismatch = _first_mismatch(sources, inputs[index], index, traced, [outputs[index] for outputs in expected])
    flash, ram = section_sizes(elf, answer.stack_bytes)
    return Proof(
        core=core_name,
        emulator=emulator.name,
        compiler=f"{toolchain.name} {toolchain.version}",
        references=tuple(references),
        images=len(inputs),
        mismatches=int(wrong.sum()),
        first_mismatch=mismatch,
        instructions=sum(answer.instructions),
        layers=tuple(
            LayerCost(layer.title, layer.kernel.function, count, layer.reason)
            for layer, count in zip(sources.layers, answer.instructions, strict=True)
        ),
        flash_bytes=flash,
        ram_bytes=ram,
    )


def reference_outputs(tflite: bytes, inputs: Int8s) -> dict[str, Int8s]:
    """The outputs that firmware must give, shape (N, ...), by who computed them."""
    from export.ops.interpreter import Interpreter
    from export.run.tflite_runtimes import load_tracer, tflm_installed

    outputs = {"integer interpreter": Interpreter(read_tflite(tflite)).run(inputs)}
    if tflm_installed():
        outputs[f"TFLite Micro {version('tflite-micro')}"] = load_tracer(tflite, "tflm")(inputs)[0]
    return outputs


def run_proof(
    sources: Sources, elf: Path, inputs: Int8s, emulator: Emulator, seconds: float, trace: int = _NO_TRACE
) -> Answer:
    """Run an ELF file with proof.c in it on every input.

    Raises:
        ExportError: it does not end, or with a code of its own.
    """
    (elf.parent / "inputs.bin").write_bytes(
        struct.pack("<II", len(inputs), trace) + np.ascontiguousarray(inputs).tobytes()
    )
    answer = elf.parent / "proof.bin"
    answer.unlink(missing_ok=True)
    emulator.run(elf, seconds)
    return _read_answer(answer.read_bytes(), sources, len(inputs), trace)


def _read_answer(content: bytes, sources: Sources, count: int, trace: int) -> Answer:
    calibration, stack, arena, layers = struct.unpack_from("<IIII", content)
    ticks = np.frombuffer(content, "<u4", layers, 16)
    values = np.frombuffer(content, np.int8, -1, 16 + 4 * layers)
    size = prod(sources.graph.tensor(sources.graph.outputs[0]).shape)
    lengths = [prod(layer.output.shape) for layer in sources.layers] if trace != _NO_TRACE else []
    before = 0 if trace == _NO_TRACE else trace * size
    traced = values[before : before + sum(lengths)]
    outputs = np.concatenate([values[:before], values[before + sum(lengths) :]]).reshape(count, size)
    return Answer(
        stack,
        arena,
        tuple(round(int(t) * _CALIBRATION / calibration) for t in ticks),
        outputs,
        tuple(np.split(traced, np.cumsum(lengths)[:-1])) if lengths else (),
    )


def _first_mismatch(sources: Sources, x: Int8s, index: int, answer: Answer, expected: list[Int8s]) -> Mismatch:
    """The first layer whose output differs from the interpreter's, else where the output differs from a reference."""
    from export.ops.interpreter import Interpreter

    wanted = {node.outputs[0]: value.reshape(-1) for node, value in Interpreter(sources.graph).trace(x[None])}
    pairs = [
        (layer.title, wanted[layer.output.name], got) for layer, got in zip(sources.layers, answer.trace, strict=True)
    ]
    pairs += [("output", outputs, answer.outputs[index]) for outputs in expected]
    title, want, got = next((name, w, g) for name, w, g in pairs if (w != g).any())
    where = int(np.flatnonzero(want != got)[0])
    return Mismatch(index, title, where, int(want[where]), int(got[where]))


def section_sizes(elf: Path, stack_bytes: int) -> tuple[Flash, Ram]:
    """What the model costs, without the harness, which has sections of its own."""
    from elftools.elf.elffile import ELFFile

    with elf.open("rb") as file:
        sizes = {section.name: int(section["sh_size"]) for section in ELFFile(file).iter_sections()}

    def total(*names: str) -> int:
        return sum(sizes.get(name, 0) for name in names)

    return Flash.of(total(*_CODE), total(*_DATA)), Ram.of(total(".arena"), total(".data", ".bss"), stack_bytes)
