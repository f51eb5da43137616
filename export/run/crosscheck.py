"""Two int8 TFLite files of the same float network: which scales differ, and why.

Layers are matched by their int8 weights, the other operators by what they read. TensorFlow's converter is known to
differ in three ways; any other difference is reported as unexplained:

    residual  LiteRT's ADD writes its sum over an input that nobody reads any more, and TensorFlow's calibration looks
              at an operator's inputs once more after it ran: the range of a convolution in front of a residual ADD
              becomes the union of its own and the sum's, and its scale coarser than it need be.
    pool      A global average pool is AVERAGE_POOL_2D here, which keeps its input's quantization (and which CMSIS-NN
              has a kernel for), and MEAN with a scale of its own there.
    clip      Behind the convolution of a squeeze-excite's gate, the clip to 0..1 is that layer's own saturation here,
              and a RELU_0_TO_1 there, which writes what our layer does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from export.graph import ExportError, Graph, Node
from export.ops.table import OPERATORS

SCALE_TOLERANCE = 1e-5  # relative: scales are computed in float32 or in float64
WEIGHTS_TOLERANCE_LSB = 1  # ties are rounded to even here and away from zero there

Quantization = tuple[float, int]  # scale, zero point

_LAYERS = tuple(name for name, operator in OPERATORS.items() if operator.weights_axis is not None)
_SAME_VALUES = ("QUANTIZE", "RESHAPE", "TRANSPOSE", "RELU_0_TO_1")  # the last one of a tensor that it does not clip
_POOLS = ("AVERAGE_POOL_2D", "MEAN")


@dataclass(frozen=True, slots=True)
class ScaleDifference:
    """An activation whose quantization differs.

    Attributes:
        node: ours, that writes it.
        reason: `residual`, `pool` or `clip`, as above; None where it is unexplained.
    """

    node: str
    op: str
    ours: Quantization
    theirs: Quantization
    reason: str | None


@dataclass(frozen=True, slots=True)
class Crosscheck:
    """What two files have in common.

    Attributes:
        compared: activations whose quantization was compared.
        differences: those beyond `SCALE_TOLERANCE`.
        unmatched: our operators without a counterpart.
        weights: int8 weights of matched layers.
        weights_differing: of them, those that differ; all by 1 LSB.
        only_ours: operators by kind that they have fewer of, and the other way round.
    """

    compared: int
    differences: tuple[ScaleDifference, ...]
    unmatched: tuple[str, ...]
    weights: int
    weights_differing: int
    only_ours: Mapping[str, int]
    only_theirs: Mapping[str, int]

    @property
    def explained(self) -> bool:
        """Whether every operator has a counterpart and every difference a reason."""
        return not self.unmatched and all(d.reason for d in self.differences)


def crosscheck(ours: Graph, theirs: Graph) -> Crosscheck:
    """Compare two int8 graphs, ours and another converter's."""
    pairs = _match(ours, theirs)
    differences = [_difference(ours, node, theirs, other) for node, other in pairs.items()]
    weights = [_steps(theirs, other) - _steps(ours, node) for node, other in pairs.items() if node.op in _LAYERS]
    mine, others = (Counter(node.op for node in graph.nodes) for graph in (ours, theirs))
    return Crosscheck(
        compared=len(pairs),
        differences=tuple(d for d in differences if d is not None),
        unmatched=tuple(node.name for node in ours.nodes if node not in pairs),
        weights=sum(w.size for w in weights),
        weights_differing=sum(int(np.count_nonzero(w)) for w in weights),
        only_ours=dict(mine - others),
        only_theirs=dict(others - mine),
    )


def _match(ours: Graph, theirs: Graph) -> dict[Node, Node]:
    """Our operators and theirs that compute the same."""
    pairs: dict[Node, Node] = {}
    tensors = {ours.inputs[0]: theirs.inputs[0]}  # ours -> theirs, before operators that change no value
    free = list(theirs.nodes)
    for node in ours.nodes:
        fitting = [other for other in free if _fits(ours, node, theirs, other, tensors)]
        if node.op in _LAYERS:
            fitting.sort(key=lambda other: int(np.abs(_steps(ours, node) - _steps(theirs, other)).sum()))
        if fitting:
            pairs[node] = fitting[0]
            tensors[node.outputs[0]] = fitting[0].outputs[0]
            free.remove(fitting[0])
    return pairs


def _fits(ours: Graph, node: Node, theirs: Graph, other: Node, tensors: Mapping[str, str]) -> bool:
    if node.op in _LAYERS:
        a, b = ours.tensor(node.inputs[1]), theirs.tensor(other.inputs[1]) if len(other.inputs) > 1 else None
        if other.op != node.op or b is None or b.data is None or a.shape != b.shape:
            return False
        return int(np.abs(_steps(ours, node) - _steps(theirs, other)).max()) <= WEIGHTS_TOLERANCE_LSB
    if other.op != node.op and not (node.op in _POOLS and other.op in _POOLS):
        return False
    wanted = {tensors.get(name) for name in _activations(ours, node)}
    return wanted == {_source(theirs, name) for name in _activations(theirs, other)}


def _steps(graph: Graph, layer: Node) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    data = graph.tensor(layer.inputs[1]).data
    assert data is not None
    return data.astype(np.int64)


def _activations(graph: Graph, node: Node) -> list[str]:
    return [name for name in node.inputs if graph.tensor(name).data is None]


def _source(graph: Graph, name: str) -> str:
    """Where a value was computed, before operators that do not change it."""
    writer = next((node for node in graph.nodes if name in node.outputs), None)
    return _source(graph, writer.inputs[0]) if writer is not None and writer.op in _SAME_VALUES else name


def _output(graph: Graph, node: Node) -> Quantization:
    q = graph.tensor(node.outputs[0]).qparams
    if q is None:
        raise ExportError(f"node '{node.name}' ({node.op}) writes floats: crosscheck compares int8 files")
    return float(q.scale.item()), int(q.zero_point.item())


def _difference(ours: Graph, node: Node, theirs: Graph, other: Node) -> ScaleDifference | None:
    wanted, found = _output(ours, node), _output(theirs, other)
    if _equal(wanted, found):
        return None
    clips = [n for n in theirs.nodes if n.op == "RELU_0_TO_1" and n.inputs[0] == other.outputs[0]]
    clipped = bool(clips) and all(_equal(wanted, _output(theirs, clip)) for clip in clips)
    reason = "clip" if clipped else _reason(ours, node, wanted, found)
    return ScaleDifference(node.name, node.op, wanted, found, reason)


def _equal(a: Quantization, b: Quantization) -> bool:
    return abs(a[0] - b[0]) <= SCALE_TOLERANCE * a[0] and a[1] == b[1]


def _reason(graph: Graph, node: Node, ours: Quantization, theirs: Quantization) -> str | None:
    if node.op == "AVERAGE_POOL_2D":
        return "pool"
    for add in (n for n in graph.nodes if n.op == "ADD" and node.outputs[0] in n.inputs):
        ranges = [_range(ours), _range(_output(graph, add))]
        union = min(low for low, _ in ranges), max(high for _, high in ranges)
        if np.allclose(_range(theirs), union, atol=theirs[0], rtol=0):  # zero points are rounded: a step at each end
            return "residual"
    return None


def _range(q: Quantization) -> tuple[float, float]:
    """Real values of -128 and 127."""
    return q[0] * (-128 - q[1]), q[0] * (127 - q[1])
