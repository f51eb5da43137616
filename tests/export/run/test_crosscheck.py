"""Comparing with another converter: on files changed by hand, and against TensorFlow's where it is installed."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from export.graph import ExportError, Graph, Node, QParams
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.crosscheck import crosscheck
from export.run.tensorflow_converter import PACKAGES, convert
from export.run.tflite_runtimes import tflm_head_bytes
from export.to_ops import to_ops
from export.write.to_tflite import to_tflite
from hardware_profiles.cost.memory import TFLM_ORDER, plan_memory


@pytest.fixture(scope="module")
def content(gated: Any) -> tuple[bytes, bytes]:
    """A net with residual sums, squeeze-excite and hard-swish: float ONNX and int8 TFLite."""
    from export.calibrate import calibrate
    from export.quantize import quantize
    from export.write.to_onnx import to_onnx

    net, images = gated
    float_onnx = to_onnx(net, (1, 3, 12, 12))
    return float_onnx, to_tflite(read_onnx(quantize(float_onnx, calibrate(float_onnx, images))))


@pytest.fixture(scope="module")
def graph(content: tuple[bytes, bytes]) -> Graph:
    return read_tflite(content[1])


def _requantized(graph: Graph, name: str, scale: float, zero_point: int) -> Graph:
    q = QParams(np.array([scale], np.float32), np.array([zero_point], np.int64))
    return replace(graph, tensors={**graph.tensors, name: replace(graph.tensor(name), qparams=q)})


def _node(graph: Graph, op: str) -> Node:
    return next(node for node in graph.nodes if node.op == op)


def _ends(graph: Graph, name: str) -> tuple[float, float]:
    q = graph.tensor(name).qparams
    assert q is not None
    return float(q.scale[0]) * (-128 - int(q.zero_point[0])), float(q.scale[0]) * (127 - int(q.zero_point[0]))


def _projection(graph: Graph) -> Node:
    """The convolution that the residual ADD reads and nothing else does."""
    add = _node(graph, "ADD")
    readers = {name: sum(name in node.inputs for node in graph.nodes) for name in add.inputs}
    return next(node for node in graph.nodes if node.outputs[0] in add.inputs and readers[node.outputs[0]] == 1)


def test_a_file_equals_itself(graph: Graph) -> None:
    found = crosscheck(graph, graph)
    assert found.explained
    assert (found.compared, found.differences, found.unmatched) == (len(graph.nodes), (), ())
    assert found.weights > 0
    assert (found.weights_differing, found.only_ours, found.only_theirs) == (0, {}, {})


def test_the_range_of_a_sum_written_over_its_input_is_explained(graph: Graph) -> None:
    projection, add = _projection(graph), _node(graph, "ADD")
    (low, high), (sum_low, sum_high) = (_ends(graph, node.outputs[0]) for node in (projection, add))
    low, high = min(low, sum_low), max(high, sum_high)
    scale = (high - low) / 255
    theirs = _requantized(graph, projection.outputs[0], scale, round(-128 - low / scale))
    (difference,) = crosscheck(graph, theirs).differences
    assert (difference.node, difference.reason) == (projection.name, "residual")


@pytest.mark.parametrize("factor", [0.9, 1.01, 1.2, 3.0])
def test_any_other_scale_in_front_of_a_sum_is_not(graph: Graph, factor: float) -> None:
    projection, add = _projection(graph), _node(graph, "ADD")
    ranges = [_ends(graph, node.outputs[0]) for node in (projection, add)]
    union = max(high for _, high in ranges) - min(low for low, _ in ranges)
    theirs = _requantized(graph, projection.outputs[0], factor * union / 255, 0)
    found = crosscheck(graph, theirs)
    assert [d.reason for d in found.differences] == [None]
    assert not found.explained


def test_a_scale_that_differs_elsewhere_is_unexplained_and_one_rounded_otherwise_is_no_difference(graph: Graph) -> None:
    first = graph.nodes[0]
    q = graph.tensor(first.outputs[0]).qparams
    assert q is not None
    scale, zero_point = float(q.scale[0]), int(q.zero_point[0])
    for changed in ((scale * 1.001, zero_point), (scale, zero_point + 1)):
        found = crosscheck(graph, _requantized(graph, first.outputs[0], *changed))
        assert [(d.node, d.reason) for d in found.differences] == [(first.name, None)]
    near = float(np.nextafter(np.float32(scale), np.float32(1)))
    assert crosscheck(graph, _requantized(graph, first.outputs[0], near, zero_point)).differences == ()


def test_a_mean_with_a_scale_of_its_own_is_explained(graph: Graph) -> None:
    pool = _node(graph, "AVERAGE_POOL_2D")
    theirs = _requantized(graph, pool.outputs[0], 1.0, 0)
    nodes = tuple(replace(node, op="MEAN") if node is pool else node for node in theirs.nodes)
    found = crosscheck(graph, replace(theirs, nodes=nodes))
    assert [d.reason for d in found.differences] == ["pool"]
    assert (found.only_ours, found.only_theirs) == ({"AVERAGE_POOL_2D": 1}, {"MEAN": 1})


@pytest.mark.parametrize(("clipped_alike", "reason"), [(True, "clip"), (False, None)])
def test_a_gates_clip_that_is_an_operator_there_is_explained(
    graph: Graph, clipped_alike: bool, reason: str | None
) -> None:
    gate = next(node for node in graph.nodes if any(node.outputs[0] in n.inputs for n in graph.nodes if n.op == "MUL"))
    clipped = graph.tensor(gate.outputs[0])
    assert clipped.qparams is not None
    wider = replace(clipped.qparams, scale=2 * clipped.qparams.scale)
    after = replace(clipped, name="clipped", qparams=clipped.qparams if clipped_alike else wider)
    before = replace(clipped, qparams=wider)
    reread = [replace(n, inputs=tuple("clipped" if i == clipped.name else i for i in n.inputs)) for n in graph.nodes]
    reread.insert(graph.nodes.index(gate) + 1, Node("RELU_0_TO_1", "clip", (clipped.name,), ("clipped",)))
    theirs = replace(graph, nodes=tuple(reread), tensors={**graph.tensors, clipped.name: before, "clipped": after})
    found = crosscheck(graph, theirs)
    assert [(d.node, d.reason) for d in found.differences] == [(gate.name, reason)]
    assert found.unmatched == ()


def test_operators_that_move_data_do_not_keep_apart_what_belongs_together(graph: Graph) -> None:
    pool, last = _node(graph, "AVERAGE_POOL_2D"), _node(graph, "FULLY_CONNECTED")
    moved = replace(graph.tensor(pool.outputs[0]), name="moved")
    tensors = {**graph.tensors, "moved": moved}
    nodes = list(graph.nodes)
    nodes[nodes.index(last)] = replace(last, inputs=("moved", *last.inputs[1:]))
    nodes.insert(nodes.index(pool) + 1, Node("RESHAPE", "move", pool.outputs, ("moved",)))
    found = crosscheck(graph, replace(graph, nodes=tuple(nodes), tensors=tensors))
    assert found.explained
    assert (found.compared, found.only_theirs) == (len(graph.nodes), {"RESHAPE": 1})


def test_weights_may_be_rounded_the_other_way_but_not_be_others(graph: Graph) -> None:
    layer = graph.nodes[0]
    weights = graph.tensor(layer.inputs[1])
    assert weights.data is not None
    for step, matched in ((1, True), (2, False)):
        data = weights.data.copy()
        data.flat[0] += step if data.flat[0] < 100 else -step
        theirs = replace(graph, tensors={**graph.tensors, weights.name: replace(weights, data=data)})
        found = crosscheck(graph, theirs)
        assert found.explained == matched
        assert found.weights_differing == int(matched)
        assert (layer.name in found.unmatched) != matched


def test_the_recorded_arena_is_the_planned_one(content: tuple[bytes, bytes], graph: Graph) -> None:
    pytest.importorskip("tflite_micro")
    assert tflm_head_bytes(content[1]) == plan_memory(to_ops(graph), (TFLM_ORDER,)).peak_bytes


@pytest.mark.slow
def test_every_difference_from_tensorflows_converter_is_explained(content: tuple[bytes, bytes], gated: Any) -> None:
    for package in PACKAGES:
        pytest.importorskip(package)
    float_onnx, ours = content
    theirs = convert(float_onnx, gated[1])
    found = crosscheck(read_tflite(ours), read_tflite(theirs))
    assert found.explained, found
    assert {d.reason for d in found.differences} == {"residual", "pool"}
    assert len(ours) < len(theirs)


@pytest.mark.slow
def test_a_model_that_onnx2tf_cannot_read_says_so() -> None:
    for package in PACKAGES:
        pytest.importorskip(package)
    with pytest.raises(ExportError, match="onnx2tf and TensorFlow's converter failed: "):
        convert(b"no model", np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.skipif(all(find_spec(package) for package in PACKAGES), reason="TensorFlow is installed")
def test_without_tensorflow_the_extra_is_named() -> None:
    with pytest.raises(ExportError, match=r"needs .+: pip install 'flatnas-deploy\[tensorflow\]'"):
        convert(b"", np.zeros((1, 3, 8, 8), np.float32))
