"""OnnxWriter: the ONNX nodes of a torch module, as far as they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class OnnxWriter:
    """Collects ONNX nodes and initializers; remembers the padding that the next convolution takes over.

    Attributes:
        names: of the value that each node of the trace leaves.
        pads: by tensor: top, left, bottom, right.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: dict[str, str] = {}
        self.pads: dict[str, tuple[int, int, int, int]] = {}

    def add(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node; the name of its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        """Append a float32 constant; its name."""
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.asarray(value, np.float32, order="C"), name))
        return name


WriteLayer = Callable[[OnnxWriter, str, str, Any], str]  # writer, name, input, layer -> output
WriteFunction = Callable[[OnnxWriter, Any, list[str]], str]  # writer, node of the trace, inputs -> output


def layer(op: str, **attributes: Any) -> WriteLayer:
    """A torch layer of one input that is one ONNX operator."""
    return lambda writer, name, x, layer: writer.add(op, name, [x], **attributes)


def function(op: str, **attributes: Any) -> WriteFunction:
    """A torch function of activations alone that is one ONNX operator."""
    return lambda writer, node, inputs: writer.add(op, node.name, inputs, **attributes)
