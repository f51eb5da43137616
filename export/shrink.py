"""Shrink: an int8 TFLite file without the channels that no output depends on, and the proof that nothing changed.

The argument for each channel is in export.passes.dead_channels. Whoever does not believe it runs both files on the same
inputs, random ones and the ends of int8, on runtimes whose integer arithmetic is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.graph import Array, ExportError, Graph
from export.ops.interpreter import Interpreter
from export.passes.dead_channels import DeadChannel, without_dead_channels
from export.read_tflite import read_tflite
from export.run.tflite_runtimes import Runtime, load_tracer
from export.write.edit_tflite import edit_tflite

Int8s = npt.NDArray[np.int8]
Progress = Callable[[int, int, str], None]
_TFLITE: tuple[Runtime, ...] = ("tflm", "litert-reference")
RUNTIMES = (*_TFLITE, "interpreter")
_CHUNK = 32  # inputs whose outputs are compared at once


@dataclass(frozen=True, slots=True, eq=False)
class ShrunkFile:
    """A file and what was taken out of it.

    Attributes:
        content: the file; the given one, byte for byte, where nothing was.
        before: the given file's graph, `after` that of the smaller one.
    """

    content: bytes
    before: Graph
    after: Graph
    removed: tuple[DeadChannel, ...]


@dataclass(frozen=True, slots=True)
class Sameness:
    """Two files on one runtime.

    Attributes:
        inputs: run on both.
        mismatches: inputs with any byte of an output that differs.
        max_abs_lsb: largest difference of a value.
        skipped: why the runtime could not run them; None where it did.
    """

    runtime: str
    inputs: int
    mismatches: int
    max_abs_lsb: int
    skipped: str | None = None


def shrink(tflite: bytes) -> ShrunkFile:
    """Take every dead channel out of a file.

    Raises:
        ExportError: not an int8 TFLite file of one input.
    """
    graph = read_tflite(tflite)
    _check_input(graph)
    shrunk = without_dead_channels(graph)
    content = edit_tflite(tflite, graph, shrunk.graph) if shrunk.removed else tflite
    return ShrunkFile(content, graph, shrunk.graph, shrunk.removed)


def proof_inputs(graph: Graph, count: int, seed: int) -> Int8s:
    """Seeded random inputs, shape (count, ...), of which the first are the ends of int8 and a chessboard of both."""
    shape = graph.tensor(graph.inputs[0]).shape[1:]
    inputs = np.random.default_rng(seed).integers(-128, 128, (count, *shape)).astype(np.int8)
    board = np.where(np.indices(shape).sum(0) % 2, -128, 127)
    for i, edge in enumerate((np.full(shape, -128), np.full(shape, 127), board, -1 - board)[:count]):
        inputs[i] = edge
    return inputs


def compare_files(
    before: bytes, after: bytes, inputs: Int8s, progress: Progress = lambda done, total, note: None
) -> tuple[Sameness, ...]:
    """Run two files of the same inputs and outputs on every runtime, and compare each byte.

    Args:
        inputs: shape (N, ...).
    """
    found = []
    for runtime in RUNTIMES:
        try:
            pair = [_outputs_of(before, runtime)]
        except ExportError as error:  # a kernel that the runtime lacks, or no wheel of it here
            found.append(Sameness(runtime, 0, 0, 0, str(error)))
            continue
        pair.append(_outputs_of_ours(after, runtime))
        mismatches = largest = 0
        for start in range(0, len(inputs), _CHUNK):
            x = inputs[start : start + _CHUNK]
            progress(start, len(inputs), runtime)
            differences = np.concatenate([_difference(a, b) for a, b in zip(*(run(x) for run in pair), strict=True)], 1)
            mismatches += int(np.count_nonzero(differences.any(1)))
            largest = max(largest, int(differences.max()))
        found.append(Sameness(runtime, len(inputs), mismatches, largest))
    return tuple(found)


def _difference(a: Array, b: Array) -> npt.NDArray[np.int64]:
    """By input and value, shape (N, values)."""
    return np.abs(a.astype(np.int64) - b.astype(np.int64)).reshape(len(a), -1)


def _outputs_of_ours(content: bytes, runtime: str) -> Callable[[Int8s], list[Array]]:
    try:
        return _outputs_of(content, runtime)
    except ExportError as error:
        raise RuntimeError(f"{runtime} runs the file, and not the smaller one: {error}") from error


def _outputs_of(content: bytes, runtime: str) -> Callable[[Int8s], list[Array]]:
    for kind in _TFLITE:
        if runtime == kind:
            return load_tracer(content, kind)
    graph = read_tflite(content)
    interpreter = Interpreter(graph)

    def run(x: Int8s) -> list[Array]:
        values = {node.outputs[0]: value for node, value in interpreter.trace(x)}
        return [values[name] for name in graph.outputs]

    return run


def _check_input(graph: Graph) -> None:
    given: Mapping[str, str] = {name: graph.tensor(name).dtype for name in graph.inputs}
    if len(given) != 1 or set(given.values()) != {"int8"}:
        told = ", ".join(f"'{name}' ({dtype})" for name, dtype in given.items())
        raise ExportError(f"it takes {told or 'no input'}; only models of one int8 input can be shrunk: quantize it")
    shape = graph.tensor(graph.inputs[0]).shape
    if len(shape) > 1 and shape[0] != 1:
        raise ExportError(f"it takes {shape[0]} inputs at a time: export it with batch size 1")
