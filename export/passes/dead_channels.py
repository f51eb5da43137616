"""Channels that can be taken out without changing an output: constants, and what nothing reads.

    constant    its range is one value v: a reader's bias takes over the sum of its weights * (v - zero point), where
                every window sees v, or v is the zero point that padding shows
    unread      all weights that read it are zero, or belong to channels that are taken out

A constant channel of a convolution that has to stay, because its group does (export.passes.channels), reads nothing:
its weights become zero, and its bias a sum that gives the constant. Groups that something needs are found backwards
from the graph's outputs; all others go. An activation that would lose its last channel keeps one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from export.graph import Graph, Node
from export.ops.fixed_point import Ints
from export.ops.integers import zero_point
from export.passes.channels import Channels, columns, tied_channels
from export.passes.fewer_channels import LayerChange, bias_of, with_fewer_channels
from export.passes.ranges import (
    Bools,
    ChannelRange,
    Sums,
    channel_ranges,
    kind_of,
    layer_sums,
    taps_on_map,
    weights_by_tap,
)

_INT32 = 2**31


@dataclass(frozen=True, slots=True)
class DeadChannel:
    """A channel that was taken out, and why that is exact.

    Attributes:
        tensor: the activation, `node` what writes it, and `channel` its index there.
        reason: unread means that every reader's weights for it are zero, or belong to channels that were taken out.
        low: least int8 value that it can have, `high` the most; a constant's value is both.
        sums: least and most accumulator of a weighted layer's channel, and `factor` that rescales them; else None.
        readers: the nodes that read the activation, none of which needs the channel.
    """

    tensor: str
    node: str
    channel: int
    reason: Literal["constant", "unread"]
    low: int
    high: int
    sums: tuple[int, int] | None
    factor: float | None
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """A graph without its dead channels.

    Attributes:
        kept: indices of the channels that each activation keeps.
    """

    graph: Graph
    kept: Mapping[str, Ints]
    removed: tuple[DeadChannel, ...]


def without_dead_channels(graph: Graph) -> Shrunk:
    """Take out every channel that no output depends on; the graph itself where there is none."""
    channels, ranges = tied_channels(graph), channel_ranges(graph)
    free = [node for node in graph.nodes if node.outputs[0] in channels.free]
    sums = {node.outputs[0]: layer_sums(graph, node, ranges) for node in free}
    readings = {
        node.outputs[0]: _reading(graph, node, ranges, sums[node.outputs[0]])
        for node in free
        if kind_of(node) != "depthwise_conv"
    }
    alive = _alive(graph, channels, ranges, readings)
    kept = {name: np.flatnonzero(alive[groups]) for name, groups in channels.groups.items()}
    if alive.all():
        return Shrunk(graph, kept, ())
    changes = {name: LayerChange(r.silent, sums[name].low, r.folded) for name, r in readings.items()}
    shrunk = with_fewer_channels(graph, kept, changes)
    return Shrunk(shrunk, kept, tuple(_removed(graph, ranges, sums, kept)))


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What a convolution or fully connected layer reads; its rows are output channels, its columns input channels.

    Attributes:
        needs: whether a row needs a column, shape (rows, columns).
        folded: what a column adds to a row's sum where it is a constant that the bias can take over, else 0.
        silent: rows that are constant, and read nothing.
    """

    needs: Bools
    folded: Ints
    silent: Bools


def _reading(graph: Graph, node: Node, ranges: Mapping[str, ChannelRange], sums: Sums) -> _Reading:
    x, has_bias = graph.tensor(node.inputs[0]), len(node.inputs) > 2
    weights, (on, off) = weights_by_tap(graph, node), taps_on_map(graph, node)
    values = columns(graph, node, ranges[x.name].low) - zero_point(x)
    constant = columns(graph, node, ranges[x.name].constant)
    at_border = (weights[:, on & off] != 0).any(1)  # taps that see the map here and padding there
    folded = np.where(constant & ~at_border, weights[:, on].sum(1) * values, 0)
    room = np.abs(bias_of(graph, node)) + np.abs(folded).sum(1) < _INT32
    takes_over = constant & (~at_border | (values == 0)) & ((folded == 0) | (has_bias & room[:, None]))
    silent = ranges[node.outputs[0]].constant & sums.bounded & has_bias
    needs = (weights[:, on] != 0).any(1) & ~takes_over & ~silent[:, None]
    return _Reading(needs, np.where(takes_over, folded, 0), silent)


def _alive(
    graph: Graph, channels: Channels, ranges: Mapping[str, ChannelRange], readings: Mapping[str, _Reading]
) -> Bools:
    """Which groups stay, shape (groups,): those that are fixed, what they need, and one of each activation."""
    alive = channels.fixed.copy()
    while True:
        _add_needed(graph, channels, readings, alive)
        lost = next((name for name, groups in channels.groups.items() if not alive[groups].any()), None)
        if lost is None:
            return alive
        alive[channels.groups[lost][np.argmax(ranges[lost].constant)]] = True  # a constant one, which reads nothing


def _add_needed(graph: Graph, channels: Channels, readings: Mapping[str, _Reading], alive: Bools) -> None:
    """Mark what living groups need, and what that needs, until nothing is added."""
    counted = -1
    while counted != alive.sum():
        counted = alive.sum()
        for node in reversed(graph.nodes):
            y = node.outputs[0]
            if y in readings:
                needed = readings[y].needs[alive[channels.groups[y]]].any(0)
                alive[columns(graph, node, channels.groups[node.inputs[0]])[needed]] = True


def _removed(
    graph: Graph, ranges: Mapping[str, ChannelRange], sums: Mapping[str, Sums], kept: Mapping[str, Ints]
) -> Iterator[DeadChannel]:
    for node in graph.nodes:
        for name in node.outputs:
            readers = tuple(reader.name for reader in graph.nodes if name in reader.inputs)
            of, span = sums.get(name), ranges[name]
            for i in np.setdiff1d(np.arange(len(span.low)), kept[name]).tolist():
                yield DeadChannel(
                    tensor=name,
                    node=node.name,
                    channel=i,
                    reason="constant" if span.constant[i] else "unread",
                    low=int(span.low[i]),
                    high=int(span.high[i]),
                    sums=(int(of.low[i]), int(of.high[i])) if of else None,
                    factor=float(of.factors[i]) if of else None,
                    readers=readers,
                )
