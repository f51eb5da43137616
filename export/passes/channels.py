"""Channels that stand or fall together, over a whole graph.

An operator that works channel by channel (depthwise, pooling, sums, activations) ties its output's channels to its
inputs': none of a group can be taken out without the others. CONV_2D and FULLY_CONNECTED end a group, since their
weights can lose a row or a column. A graph's inputs and outputs, and what operators read or write that are not known
here, keep all of their channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from export.graph import Graph, Node
from export.passes.ranges import TABLES, WEIGHTED, is_int8, kind_of
from hardware_profiles.cost.ops import OpKind

Groups = npt.NDArray[np.int64]
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """Groups of channels.

    Attributes:
        groups: the group of each channel of every activation, shape (C,); they count from 0.
        fixed: whether a group must stay, shape (groups,).
        free: the weighted layers whose rows and columns may be taken out, by the tensors that they write.
    """

    groups: Mapping[str, Groups]
    fixed: npt.NDArray[np.bool_]
    free: frozenset[str]


def tied_channels(graph: Graph) -> Channels:
    """The groups of a graph."""
    ties = _Ties(graph)
    shared = _shared_constants(graph)
    free = []
    for node in graph.nodes:
        tie = _TIES.get(kind_of(node))
        if tie is None or shared & set(node.inputs) or not is_int8(graph, node) or not tie(ties, node):
            ties.fix(*node.inputs, *node.outputs)
        elif kind_of(node) in WEIGHTED:
            free.append(node.outputs[0])
    ties.fix(*graph.inputs, *graph.outputs)
    return ties.finish(free)


def columns(graph: Graph, node: Node, values: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """A value per input channel as one per column of a layer's weights: a flattened map repeats its channels."""
    return np.resize(values, graph.tensor(node.inputs[1]).shape[1]) if kind_of(node) == "fully_connected" else values


class _Ties:
    """Groups while they grow: `_parents` points each channel to another of its group, the last one to itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._numbers: dict[str, Groups] = {}
        self._parents: list[int] = []
        self._fixed: list[int] = []

    def of(self, name: str) -> Groups:
        """The group of each channel of an activation so far."""
        if name not in self._numbers:
            shape = self.graph.tensor(name).shape
            numbers = np.arange(shape[-1] if shape else 1) + len(self._parents)
            self._numbers[name] = numbers
            self._parents.extend(numbers.tolist())
        return np.array([self._root(int(i)) for i in self._numbers[name]], np.int64)

    def tie(self, a: Groups, b: Groups) -> bool:
        """Join groups pair by pair."""
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            self._parents[self._root(i)] = self._root(j)
        return True

    def fix(self, *names: str) -> None:
        """Keep all channels of these activations."""
        for name in names:
            if self.graph.tensor(name).data is None:
                self._fixed.extend(self.of(name).tolist())

    def finish(self, free: list[str]) -> Channels:
        roots = np.array([self._root(i) for i in range(len(self._parents))], np.int64)
        _, numbered = np.unique(roots, return_inverse=True)
        fixed = np.zeros(int(numbered.max(initial=-1)) + 1, bool)
        fixed[numbered[self._fixed]] = True
        return Channels({name: numbered[i] for name, i in self._numbers.items()}, fixed, frozenset(free))

    def _root(self, i: int) -> int:
        while self._parents[i] != i:
            self._parents[i] = self._parents[self._parents[i]]
            i = self._parents[i]
        return i


def _shared_constants(graph: Graph) -> set[str]:
    """Constants that several places read, which can't change for one of them alone."""
    read = [name for node in graph.nodes for name in node.inputs if graph.tensor(name).data is not None]
    return {name for name in read if read.count(name) > 1} | {name for name in graph.outputs if name in read}


def _conv(ties: _Ties, node: Node) -> bool:
    """No ties; both ends become known."""
    return bool(len(ties.of(node.inputs[0])) and len(ties.of(node.outputs[0])))


def _fully_connected(ties: _Ties, node: Node) -> bool:
    """Likewise, where each column of the weights always reads the same channel."""
    return _conv(ties, node) and ties.graph.tensor(node.inputs[1]).shape[1] % len(ties.of(node.inputs[0])) == 0


def _depthwise(ties: _Ties, node: Node) -> bool:
    x, y = ties.of(node.inputs[0]), ties.of(node.outputs[0])
    return ties.tie(np.repeat(x, len(y) // len(x)), y)


def _channelwise(ties: _Ties, node: Node) -> bool:
    """Each activation's channels to the output's; one that repeats its only channel can't lose it."""
    y = ties.of(node.outputs[0])
    for name in node.inputs:
        tensor = ties.graph.tensor(name)
        if tensor.data is not None:
            continue
        if len(ties.of(name)) == len(y):
            ties.tie(ties.of(name), y)
        else:
            ties.fix(name)
    return True


def _mean(ties: _Ties, node: Node) -> bool:
    rank, axes = len(ties.graph.tensor(node.inputs[0]).shape), ties.graph.tensor(node.inputs[1]).data
    assert axes is not None
    return (rank - 1) not in {int(a) % rank for a in np.ravel(axes)} and _channelwise(ties, node)


def _pad(ties: _Ties, node: Node) -> bool:
    """The map's channels inside the output's; channels of padding are free."""
    x, amounts = ties.of(node.inputs[0]), ties.graph.tensor(node.inputs[1]).data
    assert amounts is not None
    before = int(amounts.reshape(-1, 2)[-1, 0])
    return ties.tie(x, ties.of(node.outputs[0])[before : before + len(x)])


def _concatenation(ties: _Ties, node: Node) -> bool:
    rank = len(ties.graph.tensor(node.outputs[0]).shape)
    along, y, done = node.options.axis % rank == rank - 1, ties.of(node.outputs[0]), 0
    for name in node.inputs:
        tensor = ties.graph.tensor(name)
        part = y[done : done + tensor.shape[-1]] if along else y
        if tensor.data is None:
            ties.tie(ties.of(name), part)
        done += len(part)
    return True


def _reshape(ties: _Ties, node: Node) -> bool:
    """Where every position of the output has the input's groups in the same order: flattening, and its opposite."""
    x, y = (ties.graph.tensor(name) for name in (node.inputs[0], node.outputs[0]))
    if not x.shape or not y.shape:
        return False
    rows = np.broadcast_to(ties.of(x.name), x.shape).reshape(-1, y.shape[-1])
    return bool((rows == rows[0]).all()) and ties.tie(rows[0], ties.of(y.name))


_TIES: Mapping[OpKind, Callable[[_Ties, Node], bool]] = {
    "conv": _conv,
    "fully_connected": _fully_connected,
    "depthwise_conv": _depthwise,
    **dict.fromkeys(("add", "mul", "avg_pool", "max_pool", *TABLES), _channelwise),
    "mean": _mean,
    "pad": _pad,
    "concat": _concatenation,
    "reshape": _reshape,
}
