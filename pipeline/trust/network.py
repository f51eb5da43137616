"""Is the int8 file the network that model.json and report.json tell of? Read from its bytes."""

from __future__ import annotations

from collections.abc import Iterator

from export.graph import ExportError, Graph, Tensor
from export.read_tflite import read_tflite
from export.to_ops import to_ops
from hardware_profiles.cost.ops import macs, params
from pipeline.results.model_facts import ModelInput, ModelOutput
from pipeline.runs.layout import INT8_TFLITE, MODEL, REPORT
from pipeline.trust.finished import FinishedRun


def of_the_shipped_network(run: FinishedRun) -> Iterator[str]:
    """Shapes, scales, classes, parameters and MACs of the file against what is told of it."""
    try:
        graph = read_tflite(run.int8)
    except ExportError as error:
        yield f"{INT8_TFLITE} is no model: {error}"
        return
    yield from _ends(run, graph)
    yield from _size(run, graph)


def _ends(run: FinishedRun, graph: Graph) -> Iterator[str]:
    """What goes in and comes out."""
    ends: dict[str, tuple[ModelInput | ModelOutput, tuple[str, ...]]] = {
        "input": (run.model.input, graph.inputs),
        "output": (run.model.output, graph.outputs),
    }
    for name, (told, names) in ends.items():
        found = _facts(graph.tensor(names[0])) if len(names) == 1 else None
        if found is None:
            yield f"{INT8_TFLITE} has no single int8 {name}"
        elif found != (facts := (told.dtype, list(told.shape), told.scale, told.zero_point)):
            yield f"{MODEL}: {name} is {_in_words(facts)}, {INT8_TFLITE} has {_in_words(found)}"
    if run.model.output.shape[-1:] != (len(run.model.labels),):
        yield f"{MODEL}: {len(run.model.labels)} labels for outputs of shape {list(run.model.output.shape)}"
    resolution = run.report.arch.resolution
    if run.model.input.shape[1:3] != (resolution, resolution):
        yield f"{REPORT}: arch.resolution is {resolution}, {MODEL} has an input of {list(run.model.input.shape)}"


_Facts = tuple[str, list[int], float, int]  # dtype, shape, scale, zero point


def _facts(tensor: Tensor) -> _Facts | None:
    if tensor.qparams is None or tensor.qparams.scale.size != 1:
        return None
    scale, zero_point = float(tensor.qparams.scale.item()), int(tensor.qparams.zero_point.item())
    return tensor.dtype, list(tensor.shape), scale, zero_point


def _in_words(facts: _Facts) -> str:
    dtype, shape, scale, zero_point = facts
    return f"{dtype} {shape} at scale {scale:.9g}, zero point {zero_point}"


def _size(run: FinishedRun, graph: Graph) -> Iterator[str]:
    """Parameters and MACs, in all and by operator; flash where it is the file."""
    ops, cost = to_ops(graph), run.report.footprint
    counted = {"params": (cost.params, sum(map(params, ops))), "macs": (cost.macs, sum(map(macs, ops)))}
    if cost.runtime != "firmware":
        counted["flash_bytes"] = (cost.flash_bytes, run.int8.stat().st_size)
    for name, (told, found) in counted.items():
        if told != found:
            yield f"{REPORT}: footprint.{name} is {told:,}, {INT8_TFLITE} has {found:,}"
    rows = [(row.macs, row.params) for row in run.report.memory]
    if rows != [(macs(op), params(op)) for op in ops]:
        yield f"{REPORT}: memory does not list the operators of {INT8_TFLITE}"
