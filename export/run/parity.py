"""Parity: the same int8 inputs through every runtime, tensor by tensor, in LSB, against the integer interpreter.

Which difference of the output is allowed, and why (measured; see docs/decisions/0003-parity.md):

    tflm              0  the same arithmetic
    litert-reference  1  the same, but FULLY_CONNECTED rounds once where TFLite Micro rounds twice; and a step for every
                         MUL, whose factor is computed in float32 there and in float64 in TFLite Micro
    litert            8  XNNPACK requantizes through float and rounds half to even; a difference grows with depth
    onnxruntime       8  dequantizes to float and rounds half to even
    torch             8  likewise: the module that quantization-aware training trains

Differences of the last three add up from operator to operator: a network of more than 32 is allowed a step for every
four, and one score in a thousand may be beyond, since the largest of many thousands tells little.

Every activation is made an output of the compared file, so that the first operator that differs can be named. A final
softmax is not what the bounds are about, but the scores it reads: it makes one step of a score many of a probability. A
model with an operator that the interpreter does not know is compared by its outputs only, with LiteRT's reference
kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.graph import Array, ExportError, Graph, Node
from export.ops.interpreter import Interpreter
from export.passes.dead_channels import without_dead_channels
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.runners import Kind, load_runner
from export.run.tflite_runtimes import Runtime, load_tracer, tflm_installed
from export.write.to_tflite import to_tflite

BOUNDS_LSB: dict[str, int] = {
    "interpreter": 0,
    "tflm": 0,
    "litert-reference": 1,
    "litert": 8,
    "onnxruntime": 8,
    "torch": 8,
}
_EXACT = frozenset({"interpreter", "tflm", "litert-reference"})  # whatever the depth
_OPERATORS_PER_LSB = 4
_STRAY = 1e-3  # share of the scores that may be beyond the bound of those that are not exact
_CHUNK = 32  # inputs whose activations are held at once

Progress = Callable[[int, int, str], None]
_Values = Callable[[Array], dict[str, Array]]  # real images (N, C, H, W) -> int8 values of tensors, by name
_Trace = Callable[[Array], list[Array]]  # int8 inputs (N, ...) -> one int8 array (N, ...) per compared tensor


def bound_lsb(runner: str, operators: Sequence[str]) -> int:
    """What a runtime's scores may differ by from the integer interpreter's, after these operators."""
    bound = BOUNDS_LSB[runner]
    if runner == "litert-reference":
        return bound + operators.count("MUL")
    return bound if runner in _EXACT else max(bound, len(operators) // _OPERATORS_PER_LSB)


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """One operator's output on a runtime, beside the reference's.

    Attributes:
        max_abs_lsb: largest difference of an element.
        mismatches: inputs with any difference.
    """

    node: str
    op: str
    max_abs_lsb: int
    mismatches: int


@dataclass(frozen=True, slots=True)
class Parity:
    """One runtime against the reference.

    Attributes:
        max_abs_lsb: largest difference of a score, in steps of its scale.
        mismatches: inputs with any difference of a score.
        n: inputs.
        top1_agreement: share of inputs with the same class.
        bound_lsb: what is allowed.
        beyond: share of the scores that differ by more.
        tensors: the same by operator, in execution order; of the output alone where no more could be compared.
    """

    runner: str
    max_abs_lsb: int
    mismatches: int
    n: int
    top1_agreement: float
    bound_lsb: int
    beyond: float
    tensors: tuple[TensorDifference, ...]

    @property
    def holds(self) -> bool:
        """Whether the scores are within the bound: all of them, or nearly all where runtimes round differently."""
        return self.beyond <= (0 if self.runner in _EXACT else _STRAY)

    @property
    def first_difference(self) -> TensorDifference | None:
        """The first operator whose output differs."""
        return next((tensor for tensor in self.tensors if tensor.max_abs_lsb), None)


def parity(
    int8_tflite: Path,
    int8_onnx: Path | None,
    inputs_nhwc: npt.NDArray[np.int8],
    progress: Progress = lambda done, total, note: None,
    *,
    fake_quantized: bool = False,
) -> tuple[Parity, ...]:
    """Compare the installed runtimes on raw int8 inputs, shape (N, R, R, 3).

    Args:
        int8_onnx: the QDQ file of the same model; left out when None.
        fake_quantized: compare it as a fake-quantized torch module, too.

    Raises:
        ExportError: the file is no int8 model, or the two files are of different models.
    """
    graph = read_tflite(int8_tflite)
    if any(graph.tensor(name).dtype != "int8" for name in (*graph.inputs, *graph.outputs)):
        raise ExportError(f"{int8_tflite.name} is not an int8 model: parity compares integers")
    try:
        interpreter = Interpreter(graph)
        exposed = replace(graph, outputs=tuple(node.outputs[0] for node in graph.nodes))
        content = to_tflite(exposed)
    except ExportError:  # an operator outside the set
        return _compare_outputs(int8_tflite, graph, inputs_nhwc, progress)
    kinds: tuple[Runtime, ...] = ("tflm", "litert-reference", "litert")
    traces: dict[str, _Trace] = {
        kind: load_tracer(content, kind) for kind in kinds if kind != "tflm" or tflm_installed()
    }
    if int8_onnx is not None:
        traces["onnxruntime"] = _qdq_trace(int8_onnx, graph, _onnxruntime)
        if fake_quantized:
            from export.fake_quantized import load_fake_quantized

            traces["torch"] = _qdq_trace(int8_onnx, graph, lambda path, names: load_fake_quantized(path))

    def reference(x: Array) -> list[Array]:
        return [output for _, output in interpreter.trace(x)]

    return _compare(graph, reference, traces, inputs_nhwc, progress, [node.op for node in graph.nodes])


def _compare_outputs(path: Path, graph: Graph, inputs: Array, progress: Progress) -> tuple[Parity, ...]:
    last = replace(graph, nodes=tuple(node for node in graph.nodes if graph.outputs[0] in node.outputs))
    kinds: list[Kind] = ["tflm", "litert"] if tflm_installed() else ["litert"]
    traces: dict[str, _Trace] = {kind: _output_of(path, kind) for kind in kinds}
    return _compare(
        last, _output_of(path, "litert-reference"), traces, inputs, progress, [node.op for node in graph.nodes]
    )


def _output_of(path: Path, kind: Kind) -> _Trace:
    run = load_runner(path, kind).run
    return lambda x: [run(x)]


def _compare(
    graph: Graph,
    reference: _Trace,
    traces: dict[str, _Trace],
    inputs: Array,
    progress: Progress,
    operators: Sequence[str],
) -> tuple[Parity, ...]:
    names = [node.outputs[0] for node in graph.nodes]
    at = _scores(graph, names)
    largest = {kind: np.zeros(len(names), np.int64) for kind in traces}
    mismatches = {kind: np.zeros(len(names), np.int64) for kind in traces}
    agreeing, beyond, scores = dict.fromkeys(traces, 0), dict.fromkeys(traces, 0), 0
    for start in range(0, len(inputs), _CHUNK):
        x = inputs[start : start + _CHUNK]
        progress(start, len(inputs), "integer interpreter")
        expected = reference(x)
        scores += expected[at].size
        for kind, trace in traces.items():
            progress(start, len(inputs), kind)
            actual = trace(x)
            for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
                difference = np.abs(a.astype(np.int64) - b.astype(np.int64)).reshape(len(x), -1)
                largest[kind][i] = max(largest[kind][i], difference.max())
                mismatches[kind][i] += np.count_nonzero(difference.max(1))
                if i == at:
                    beyond[kind] += int(np.count_nonzero(difference > bound_lsb(kind, operators)))
            agreeing[kind] += int((_rows(actual[at]).argmax(1) == _rows(expected[at]).argmax(1)).sum())
    progress(len(inputs), len(inputs), "")
    return tuple(
        Parity(
            runner=kind,
            max_abs_lsb=int(largest[kind][at]),
            mismatches=int(mismatches[kind][at]),
            n=len(inputs),
            top1_agreement=agreeing[kind] / len(inputs),
            bound_lsb=bound_lsb(kind, operators),
            beyond=beyond[kind] / scores,
            tensors=tuple(
                TensorDifference(node.name, node.op, int(lsb), int(count))
                for node, lsb, count in zip(graph.nodes, largest[kind], mismatches[kind], strict=True)
            ),
        )
        for kind in traces
    )


def _scores(graph: Graph, names: list[str]) -> int:
    """Index of the node that writes the scores: the output, or what its softmax reads."""
    at = names.index(graph.outputs[0])
    node = graph.nodes[at]
    return names.index(node.inputs[0]) if node.op == "SOFTMAX" and node.inputs[0] in names else at


def _rows(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _qdq_trace(path: Path, tflite: Graph, load: Callable[[Path, list[str]], _Values]) -> _Trace:
    """The quantized tensors of a QDQ file, one for each node of the TFLite file made of it.

    Args:
        load: of the file and the float tensors in front of its pairs, what computes their int8 values from images.
    """
    graph = read_onnx(path)
    if [node.op for node in graph.nodes] != [node.op for node in tflite.nodes]:
        raise ExportError(f"{path.name} is not the QDQ graph that the TFLite file was made of: its operators differ")
    kept = _kept_channels(path, graph, tflite)
    compute = load(path, [node.outputs[0] for node in graph.nodes])
    image = graph.tensor(graph.inputs[0]).qparams
    assert image is not None
    scale, zero_point = image.scale[0], int(image.zero_point[0])

    def run(x: Array) -> list[Array]:
        real = (x.astype(np.float32) - np.float32(zero_point)) * scale
        computed = compute(np.ascontiguousarray(real.transpose(0, 3, 1, 2)))
        values = {n: v.transpose(0, 2, 3, 1) if v.ndim == 4 else v for n, v in computed.items()}
        values[graph.inputs[0]] = x
        for node in graph.nodes:
            if node.outputs[0] not in values:  # a PAD that reading split off from a convolution
                values[node.outputs[0]] = _padded(graph, node, values[node.inputs[0]])
        return [values[node.outputs[0]][..., kept[node.outputs[0]]] for node in graph.nodes]

    return run


def _kept_channels(path: Path, graph: Graph, tflite: Graph) -> Mapping[str, npt.NDArray[np.int64] | slice]:
    """Which channels of each activation of a QDQ graph the TFLite file has: all of them, or those that are not dead."""
    shapes = [tflite.tensor(node.outputs[0]).shape for node in tflite.nodes]
    if shapes == [graph.tensor(node.outputs[0]).shape for node in graph.nodes]:
        return {node.outputs[0]: slice(None) for node in graph.nodes}
    shrunk = without_dead_channels(graph)
    if shapes != [shrunk.graph.tensor(node.outputs[0]).shape for node in graph.nodes]:
        raise ExportError(f"{path.name} is not the QDQ graph that the TFLite file was made of: its shapes differ")
    return shrunk.kept


def _onnxruntime(path: Path, names: list[str]) -> _Values:
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper

    model = onnx.load_from_string(path.read_bytes())
    quantized = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    outputs = {name: quantized[name] for name in names if name in quantized}
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.INT8, None) for name in outputs.values())
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = model.graph.input[0].name
    return lambda images: dict(zip(outputs, session.run(list(outputs.values()), {image: images}), strict=True))


def _padded(graph: Graph, node: Node, x: Array) -> Array:
    amounts, qparams = graph.tensor(node.inputs[1]).data, graph.tensor(node.inputs[0]).qparams
    assert node.op == "PAD"
    assert amounts is not None
    assert qparams is not None
    return np.pad(x, amounts, constant_values=int(qparams.zero_point[0]))
