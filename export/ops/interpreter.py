"""The integer interpreter: what an int8 graph computes, bit for bit as TFLite Micro does, on a whole batch in numpy.

It is the meaning that all runtimes are held to. Each operator's `prepare` makes multipliers once and returns a function
from int8 arrays to an int8 array. The arithmetic that rounds is in export.ops.fixed_point. Sums of products are taken
by a float matrix product where every partial sum is an integer that the float type holds exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from export.graph import Array, ExportError, Graph, Node
from export.ops.integers import Int8s
from export.ops.operator import Compute
from export.ops.table import OPERATORS


class Interpreter:
    """A graph made ready to run.

    Attributes:
        graph: what it runs.
    """

    def __init__(self, graph: Graph) -> None:
        """Prepare every node.

        Raises:
            ExportError: an operator, type or option that integers of this interpreter can't compute, by its node.
        """
        self.graph = graph
        self._kernels = [_prepare(graph, node) for node in graph.nodes]
        self._last_read = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}

    def trace(self, inputs: Int8s) -> Iterator[tuple[Node, Int8s]]:
        """Each node in turn and what it computes, shape (N, ...).

        Args:
            inputs: shape (N, ...) as the graph's input with N for its 1.
        """
        values: dict[str, Array] = {self.graph.inputs[0]: inputs}
        for i, (node, kernel) in enumerate(zip(self.graph.nodes, self._kernels, strict=True)):
            output = kernel(*(values[name] for name in node.inputs if name in values))
            values[node.outputs[0]] = output
            yield node, output
            for name in node.inputs:
                if self._last_read[name] == i and name not in self.graph.outputs:
                    values.pop(name, None)

    def run(self, inputs: Int8s, batch_size: int = 32) -> Int8s:
        """The graph's first output, shape (N, ...)."""
        batches = []
        for i in range(0, len(inputs), batch_size):
            *_, last = (o for n, o in self.trace(inputs[i : i + batch_size]) if n.outputs[0] == self.graph.outputs[0])
            batches.append(last)
        return np.concatenate(batches)


def _prepare(graph: Graph, node: Node) -> Compute:
    prepare = OPERATORS[node.op].prepare if node.op in OPERATORS else None
    if prepare is None:
        known = sorted(name for name, operator in OPERATORS.items() if operator.prepare)
        raise ExportError(f"node '{node.name}' is a {node.op}; the integer interpreter knows {', '.join(known)}")
    for name in (*node.inputs, *node.outputs):
        tensor = graph.tensor(name)
        if tensor.data is None and (tensor.dtype != "int8" or tensor.qparams is None):
            raise ExportError(f"node '{node.name}' ({node.op}): '{name}' is {tensor.dtype}, not quantized int8")
    return prepare(graph, node)
