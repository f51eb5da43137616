"""Small int8 graphs written by hand: every number of a layer is given, factors between scales are powers of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.graph import Graph, Node, Options, QParams, Tensor


class HandMade:
    """A graph that grows by one operator at a time; methods return the name of the tensor that they write."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []

    def activation(self, shape: tuple[int, ...], zero: int = 0, scale: float = 1.0) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = Tensor(name, shape, "int8", QParams(np.array([scale], np.float32), np.array([zero])))
        return name

    def constant(self, values: Any, dtype: str, qparams: QParams | None = None) -> str:
        name, data = f"c{len(self.tensors)}", np.array(values, dtype)
        self.tensors[name] = Tensor(name, data.shape, dtype, qparams, data)
        return name

    def node(self, op: str, inputs: tuple[str, ...], y: str, **options: Any) -> str:
        self.nodes.append(Node(op, f"{op} {len(self.nodes)}", inputs, (y,), Options(**options)))
        return y

    def layer(
        self, op: str, x: str, y: str, weights: Any, bias: Any, factors: float | list[float] = 1.0, **options: Any
    ) -> str:
        """A weighted layer between activations of scale 1.

        Args:
            weights: in TFLite's order of axes.
            bias: None for none.
            factors: from sums to outputs, one, or one per output channel.
        """
        axis = 3 if op == "DEPTHWISE_CONV_2D" else 0
        scales = np.atleast_1d(np.array(factors, np.float32))
        w = self.constant(weights, "int8", QParams(scales, np.zeros(len(scales), np.int64), axis))
        if op != "FULLY_CONNECTED":
            options["kernel_hw"] = self.tensors[w].shape[1:3]
        given = () if bias is None else (self.constant(bias, "int32"),)
        return self.node(op, (x, w, *given), y, **options)

    def pointwise(self, x: str, weights: Any, bias: Any, zero: int = 0, **options: Any) -> str:
        """A 1x1 convolution, `weights` one row per output channel; its output has scale 1."""
        rows = np.array(weights)
        y = self.activation((*self.tensors[x].shape[:3], len(rows)), zero)
        return self.layer("CONV_2D", x, y, rows[:, None, None], bias, **options)

    def graph(self, x: str, *outputs: str) -> Graph:
        return Graph(tuple(self.nodes), self.tensors, (x,), outputs)
