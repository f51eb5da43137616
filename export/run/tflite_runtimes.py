"""LiteRT and TFLite Micro loaded from a file: their C++ log is kept from the terminal, and read when they fail."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from export.graph import Array, ExportError

Runtime = Literal["litert", "litert-reference", "tflm"]
_SIZED = ("int8", "uint8", "int16", "int32", "float16", "float32")


class MissingOperatorError(ExportError):
    """The runtime has no kernel for an operator."""


def tflm_installed() -> bool:
    """Whether TFLite Micro's wheel is here; it exists for Linux on x86_64 only."""
    return find_spec("tflite_micro") is not None


def tflite_content(path: Path) -> tuple[bytes, dict[str, str]]:
    """The file's bytes and metadata; refused when damaged, as the runtimes may crash on some of those."""
    from export.read_tflite import read_tflite

    return path.read_bytes(), dict(read_tflite(path).metadata)


def load_tracer(content: bytes, kind: Runtime) -> Callable[[Array], list[Array]]:
    """Load an int8 TFLite file for all of its outputs: a function from int8 inputs (N, ...) to arrays (N, ...).

    Raises:
        ExportError: the runtime can't load it.
    """
    if kind == "tflm":
        interpreter = tflm_interpreter(content, "the model")
        outputs: Any = range(len(_graph_outputs(content)))

        def invoke(x: Array) -> list[Array]:
            interpreter.set_input(x[None], 0)
            interpreter.invoke()
            return [interpreter.get_output(i)[0] for i in outputs]

    else:
        litert = litert_interpreter(content, kind, 1, "the model")
        spec, outputs = litert.get_input_details()[0], litert.get_output_details()

        def invoke(x: Array) -> list[Array]:
            litert.set_tensor(spec["index"], x[None])
            litert.invoke()
            return [litert.get_tensor(output["index"])[0] for output in outputs]

    return lambda inputs: [np.stack(values) for values in zip(*map(invoke, inputs), strict=True)]


def _graph_outputs(content: bytes) -> tuple[str, ...]:
    from export.read_tflite import read_tflite

    return read_tflite(content).outputs


def litert_invoke(path: Path, threads: int, xnnpack: bool) -> Callable[[], None]:
    """One inference of a TFLite file on a random input, to be timed.

    Raises:
        ExportError: a damaged file, or one that LiteRT can't load.
    """
    content, _ = tflite_content(path)
    interpreter = litert_interpreter(content, "litert" if xnnpack else "litert-builtin", threads, path.name)
    for spec in interpreter.get_input_details():
        steps = np.random.default_rng(0).integers(0, 128, spec["shape"])
        interpreter.set_tensor(spec["index"], steps.astype(spec["dtype"]))
    return lambda: interpreter.invoke()


def litert_interpreter(content: bytes, kernels: str, threads: int, name: str) -> Any:
    """LiteRT's interpreter, ready to run.

    Args:
        kernels: `litert` (XNNPACK where it takes the operator), `litert-builtin` or `litert-reference`.
        name: of the model, for errors.

    Raises:
        ExportError: LiteRT can't load it.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = {
        "litert": OpResolverType.AUTO,
        "litert-builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        "litert-reference": OpResolverType.BUILTIN_REF,
    }[kernels]
    with _loading(name, "LiteRT"):
        interpreter = Interpreter(model_content=content, num_threads=threads, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
    return interpreter


def tflm_interpreter(content: bytes, name: str) -> Any:
    """TFLite Micro's interpreter, ready to run.

    Args:
        name: of the model, for errors.

    Raises:
        ExportError: the wheel is not installed, or TFLite Micro can't load it.
    """
    if not tflm_installed():
        raise ExportError(
            "the TFLite Micro wheel is not installed; it exists for Linux on x86_64: pip install tflite-micro"
        )
    from tflite_micro import runtime

    with _loading(name, "TFLite Micro"):
        return runtime.Interpreter.from_bytes(content, arena_size=_tflm_arena_bytes(content))


def tflm_head_bytes(content: bytes) -> int:
    """The arena's head as TFLite Micro records it: all activations at their offsets, as on a device.

    Raises:
        ExportError: the wheel is not installed, or TFLite Micro can't load the file.
    """
    interpreter = tflm_interpreter(content, "the model")
    with tempfile.TemporaryFile() as log:
        with _stderr_to(log):
            interpreter.print_allocations()
        log.seek(0)
        found = re.search(rb"Arena allocation head (\d+) bytes", log.read())
    if found is None:
        raise ExportError("this tflite-micro does not say how much of its arena a model uses")
    return int(found[1])


def _tflm_arena_bytes(content: bytes) -> int:
    """More than enough for all activations at once and the runtime's own state on a 64-bit host."""
    from export.read_tflite import read_tflite

    activations = sum(
        int(np.prod(t.shape)) * np.dtype(t.dtype).itemsize
        for t in read_tflite(content).tensors.values()
        if t.data is None and t.dtype in _SIZED
    )
    return activations + 10 * len(content) + (1 << 16)


@contextmanager
def _loading(name: str, runtime: str) -> Iterator[None]:
    """Tell a TFLite runtime's failure to load a model, with the operator it lacks where its log names one."""
    with tempfile.TemporaryFile() as log:
        try:
            with _stderr_to(log):
                yield
        except (ValueError, RuntimeError) as error:
            log.seek(0)
            told = f"{error}\n{log.read().decode(errors='replace')}"
            lacking = re.search(r"unresolved custom op: (\w+)|find op for builtin opcode '(\w+)'", told)
            if lacking:
                op = lacking[1] or lacking[2]
                raise MissingOperatorError(f"{runtime} lacks the operator {op} of {name}") from error
            reason = next((line for line in told.splitlines() if line.strip()), type(error).__name__)
            raise ExportError(f"{runtime} can't load {name}: {reason}") from error


@contextmanager
def _stderr_to(sink: IO[bytes]) -> Iterator[None]:
    """Keep the runtimes' C++ log lines from the user's terminal while a model loads."""
    saved = os.dup(2)
    try:
        os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
