"""Post-training quantization at its best: each technique is tried, measured, and kept only where it helps.

    1. min/max ranges
    2. cross-layer equalization                       (export.passes.equalize)
    3. for each tensor, in execution order, the range of least error on its own values (export.calibrate.RULES)
    4. bias correction: what rounding the weights adds to the mean of a channel is taken out of its bias
       (Nagel et al. 2019, arXiv 1906.04721, section 4.2)

The measure is the mean squared difference of the outputs from the float model's, over their variance, on calibration
images that no range was taken from.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.calibrate import RULES, minmax, observe, quantization_error, session
from export.graph import ExportError
from export.observed import Observation, Range
from export.onnx_graph import OnnxGraph
from export.ops.operator import Quantization
from export.ops.table import ONNX
from export.passes.canonical import canonical
from export.quantize import Float32Array, quantize_graph, quantize_weights, sharing_groups

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One technique that was tried.

    Attributes:
        error: the measure with it.
        kept: whether it was better than what was kept before.
    """

    name: str
    error: float
    kept: bool


@dataclass(frozen=True, slots=True, eq=False)
class PostTraining:
    """A quantized model, and how it was arrived at.

    Attributes:
        qdq_onnx: serialized.
        graph: the float graph it was made of, equalized and corrected; where training can go on.
        ranges: of its activations.
        steps: in the order they were tried.
    """

    qdq_onnx: bytes
    graph: OnnxGraph
    ranges: Mapping[str, Range]
    steps: tuple[Step, ...]


def post_training(
    float_onnx: bytes,
    images_nchw: Float32Array,
    image: Quantization | None = None,
    progress: Progress = lambda done, total, note: None,
) -> PostTraining:
    """Quantize with every technique that lowers the measured error.

    Args:
        images_nchw: shape (n, C, R, R), n at least 2; the last quarter measures.
        image: the input's quantization, where it is given.

    Raises:
        ExportError: too few images, or a model that can't be quantized.
    """
    if len(images_nchw) < 2:
        raise ExportError("post-training quantization needs at least two images")
    cut = len(images_nchw) - max(len(images_nchw) // 4, 1)
    return _Search(canonical(float_onnx), images_nchw[:cut], images_nchw[cut:], image, progress).run()


class _Search:
    """The best graph and ranges so far."""

    def __init__(
        self,
        graph: OnnxGraph,
        calibration: Float32Array,
        held_out: Float32Array,
        image: Quantization | None,
        progress: Progress,
    ) -> None:
        self._calibration, self._held_out = calibration, held_out
        self._image, self._progress = image, progress
        self._expected = session(graph.to_model().SerializeToString())(None, {graph.inputs[0].name: held_out})[0]
        self._graph = graph
        self._observations = observe(graph, calibration)
        self._ranges = {name: minmax(o) for name, o in self._observations.items()}
        self._steps: list[Step] = []
        self._qdq = quantize_graph(graph, self._ranges, image)
        self._error = self._measure(self._qdq)
        self._steps.append(Step("minmax", self._error, True))

    def run(self) -> PostTraining:
        self._equalize()
        self._choose_ranges()
        self._correct_biases()
        return PostTraining(self._qdq, self._graph, self._ranges, tuple(self._steps))

    def _measure(self, qdq_onnx: bytes) -> float:
        actual = session(qdq_onnx)(None, {self._graph.inputs[0].name: self._held_out})[0]
        return float(np.mean((actual - self._expected) ** 2) / max(float(self._expected.var()), 1e-30))

    def _try(self, name: str, graph: OnnxGraph, ranges: Mapping[str, Range]) -> bool:
        qdq = quantize_graph(graph, ranges, self._image)
        error = self._measure(qdq)
        kept = error < self._error
        self._steps.append(Step(name, error, kept))
        if kept:
            self._graph, self._ranges, self._qdq, self._error = graph, dict(ranges), qdq, error
        return kept

    def _equalize(self) -> None:
        from export.passes.equalize import equalize

        graph = copy.deepcopy(self._graph)
        if not equalize(graph, self._observations):
            return
        observations = observe(graph, self._calibration)
        if self._try("equalization", graph, {name: minmax(o) for name, o in observations.items()}):
            self._observations = observations

    def _choose_ranges(self) -> None:
        """The tensors' own errors propose, the network's error decides."""
        groups = [group for group in sharing_groups(self._graph) if self._graph.inputs[0].name not in group]
        proposals = [(group, rule) for group in groups if (rule := self._best_rule(group)) != "minmax"]
        for done, (group, rule) in enumerate(proposals):
            self._progress(done, len(proposals), f"ranges, error {self._error:.2g}")
            chosen = {name: RULES[rule](self._observations[name]) for name in group}
            self._try(f"{rule} of {group[0]}", self._graph, {**self._ranges, **chosen})
        self._progress(len(proposals), len(proposals), "")

    def _best_rule(self, group: list[str]) -> str:
        """The rule of least squared error over the tensors of a group; min/max unless another is clearly better."""
        observations = [self._observations[name] for name in group]
        errors = {}
        for rule, range_of in RULES.items():
            ranges = [range_of(o) for o in observations]
            shared = Range(min(r.low for r in ranges), max(r.high for r in ranges))
            errors[rule] = sum(quantization_error(o.values, shared) for o in observations)
        best = min(errors, key=errors.__getitem__)
        return best if errors[best] < 0.9 * errors["minmax"] else "minmax"

    def _correct_biases(self) -> None:
        graph = copy.deepcopy(self._graph)
        correct_biases(graph, self._observations)
        self._try("bias correction", graph, self._ranges)


def correct_biases(graph: OnnxGraph, observations: Mapping[str, Observation]) -> None:
    """Subtract from each bias what the rounding of its weights adds on average: sum of (q s - w) E[x]."""
    for node in graph.nodes:
        if ONNX[node.op_type].quantized != "weighted":
            continue
        weights = graph.constants[node.input[1]]
        q, scales = quantize_weights(weights, node.input[1])
        rounding = q * scales.reshape(-1, *[1] * (weights.ndim - 1)).astype(np.float64) - weights
        rounding = rounding.reshape(*weights.shape[:2], -1).sum(2)  # over the kernel
        means = observations[node.input[0]].channel_mean
        depthwise = weights.shape[1] == 1 and len(means) > 1
        shift = rounding[:, 0] * np.repeat(means, len(weights) // len(means)) if depthwise else rounding @ means
        bias = graph.constant(node, 2)
        name = f"{node.name}.bias.corrected"
        graph.constants[name] = ((0 if bias is None else bias.astype(np.float64)) - shift).astype(np.float32)
        node.input[1:] = [node.input[1], name]
