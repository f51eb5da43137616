"""Is a graph what it says? Operands, shapes, types and quantization of every known operator, computed anew.

Both readers end here, so that cost, interpreter, C generator and runtimes meet no file that lies. An operator outside
the closed set passes as unknown: of it, only the sizes of its tensors are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import NoReturn

import numpy as np

from export.graph import KINDS, ExportError, Graph, Node, Tensor

_MOST_ELEMENTS = 2**31 - 1  # of a tensor; TFLite counts in int32
_MOST_AXES = 8
_QUANTIZED = {"int8": (-128, 127), "uint8": (0, 255), "int16": (0, 0)}  # ranges of the zero points
_FLOATS = {"QUANTIZE": ("float32",), "DEQUANTIZE": ("float16",)}  # what each reads, beside the quantized types
_BIAS = {
    "int8": ("int32",),
    "uint8": ("int32",),
    "int16": ("int32", "int64"),
    "float16": ("float16",),
    "float32": ("float32",),
}
Shape = tuple[int, ...]


def check_graph(graph: Graph) -> None:
    """Compare what a graph says with what follows from its operators.

    Raises:
        ExportError: names the node, what it has and what it should have.
    """
    for tensor in graph.tensors.values():
        _check_size(tensor)
    _check_order(graph)
    for node in graph.nodes:
        if node.op in KINDS:
            _check_node(graph, node)


def _check_size(tensor: Tensor) -> None:
    if len(tensor.shape) > _MOST_AXES or min(tensor.shape, default=0) < 0 or prod(tensor.shape) > _MOST_ELEMENTS:
        raise ExportError(f"tensor '{tensor.name}' can't have the shape {tensor.shape}")


def _check_order(graph: Graph) -> None:
    """Each value is written once, before it is read; an unknown operator may read what only its runtime writes."""
    constants = {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    written = set(graph.inputs)
    if written & constants:
        raise ExportError(f"input '{min(written & constants)}' is a constant")
    for node in graph.nodes:
        for name in node.inputs:
            if node.op in KINDS and name not in written and name not in constants:
                _refuse(node, f"it reads '{name}', which nothing has written")
        for name in node.outputs:
            if name in written or name in constants:
                _refuse(node, f"it writes '{name}', which is a constant, an input or written already")
            written.add(name)
    for name in graph.outputs:
        if name not in written:
            raise ExportError(f"output '{name}' is written by no operator")


def _check_node(graph: Graph, node: Node) -> None:
    least, most, expected = _RULES[node.op]
    if len(node.outputs) != 1 or not least <= len(node.inputs) <= most:
        _refuse(node, f"it has {len(node.inputs)} inputs and {len(node.outputs)} outputs")
    inputs = [graph.tensor(name) for name in node.inputs]
    y = graph.tensor(node.outputs[0])
    for tensor in (*inputs, y):
        if min(tensor.shape, default=1) < 1:
            _refuse(node, f"'{tensor.name}' has the shape {tensor.shape}: a side must be a positive number")
    options = (*node.options.stride_hw, *node.options.dilation_hw, *node.options.kernel_hw)
    if min(options) < 1 or max(options) > _MOST_ELEMENTS:
        _refuse(node, f"its kernel, strides or dilations are {options}: each must be at least 1")
    shapes = expected(node, inputs)
    if not shapes:  # any that holds as many values
        shapes = [y.shape if prod(y.shape) == prod(inputs[0].shape) else inputs[0].shape]
    if y.shape not in shapes:
        _refuse(node, f"its output has the shape {y.shape}; from its inputs follows {shapes[0]}")
    _check_types(node, inputs, y)


def _check_types(node: Node, inputs: Sequence[Tensor], y: Tensor) -> None:
    activations = [y] if node.op in _CONSTANT_OPERAND else [*inputs[1:], y]
    if node.op not in ("QUANTIZE", "DEQUANTIZE"):
        for tensor in activations:
            if tensor.dtype != inputs[0].dtype:
                _refuse(node, f"'{inputs[0].name}' is {inputs[0].dtype} and '{tensor.name}' is {tensor.dtype}")
    elif y.dtype not in (_QUANTIZED if node.op == "QUANTIZE" else ("float32",)):
        _refuse(node, f"its output is {y.dtype}")
    elif inputs[0].dtype not in (*_QUANTIZED, *_FLOATS[node.op]):
        _refuse(node, f"its input is {inputs[0].dtype}")
    computes = node.op not in ("RESHAPE", "PAD", "CONCATENATION")
    for tensor in (inputs[0], *activations):
        if tensor.dtype in _QUANTIZED and (tensor.qparams is not None or computes):
            if node.op == "DEQUANTIZE" and tensor.data is not None:
                _check_weight_scales(node, tensor)
            else:
                _check_activation(node, tensor)


def _check_activation(node: Node, tensor: Tensor) -> None:
    q = tensor.qparams
    if q is None or len(q.scale) != 1 or len(q.zero_point) != 1:
        _refuse(node, f"'{tensor.name}' is {tensor.dtype} without one scale and one zero point")
    scale, zero, (low, high) = float(q.scale[0]), int(q.zero_point[0]), _QUANTIZED[tensor.dtype]
    if not (np.isfinite(scale) and scale > 0 and low <= zero <= high):
        _refuse(node, f"'{tensor.name}' can't have the scale {scale} and the zero point {zero}")


def _check_weights(node: Node, inputs: Sequence[Tensor], channels: int, axis: int) -> None:
    """Scales of the weights, one or one per output channel, and the bias."""
    x, w = inputs[:2]
    if x.dtype != w.dtype and (x.dtype, w.dtype) not in (("float32", "int8"), ("int16", "int8")):
        _refuse(node, f"its input is {x.dtype} and its weights are {w.dtype}")
    if w.dtype in _QUANTIZED:
        q = w.qparams
        if q is None or len(q.scale) not in (1, channels) or len(q.zero_point) != len(q.scale):
            _refuse(node, f"its weights need one scale, or one for each of {channels} output channels")
        if len(q.scale) > 1 and q.axis != axis:
            _refuse(node, f"its weights have a scale for each index of axis {q.axis}, not of their output channels")
        _check_weight_scales(node, w)
        if w.dtype == "int8" and q.zero_point.any():
            _refuse(node, "its int8 weights have a zero point other than 0")
    if len(inputs) > 2:
        bias = inputs[2]
        if prod(bias.shape) != channels:
            _refuse(node, f"its bias has the shape {bias.shape}, and it has {channels} output channels")
        if bias.dtype not in _BIAS.get(x.dtype, ()):
            _refuse(node, f"its input is {x.dtype} and its bias is {bias.dtype}")


def _check_weight_scales(node: Node, w: Tensor) -> None:
    """Each scale of constant weights is positive, or 0 where a converter met a channel of zeros."""
    q = w.qparams
    if q is None or w.data is None or not np.isfinite(q.scale).all() or q.scale.min(initial=0) < 0:
        _refuse(node, "its quantized weights need constant values and scales that are not negative")
    if len(q.scale) not in (1, w.shape[q.axis] if q.axis < len(w.shape) else 1):
        _refuse(node, f"its weights of the shape {w.shape} have {len(q.scale)} scales along axis {q.axis}")
    values = np.moveaxis(w.data, q.axis, 0) if len(q.scale) > 1 else w.data[None]
    if (zero := q.scale == 0).any() and values[zero].any():
        _refuse(node, "a scale of its weights is 0, and their channel holds other values than 0")


def _window(node: Node, shape: Shape, kernel: tuple[int, int], channels: int) -> list[Shape]:
    """The output of a window that slides over NHWC, with TensorFlow's padding."""
    sides = []
    for side, k, stride, dilation in zip(
        shape[1:3], kernel, node.options.stride_hw, node.options.dilation_hw, strict=True
    ):
        covered = side if node.options.padding == "SAME" else side - (k - 1) * dilation
        if covered < 1:
            _refuse(node, f"its window of {k} doesn't fit into {side}")
        sides.append(-(-covered // stride))
    return [(shape[0], *sides, channels)]


def _map(node: Node, x: Tensor) -> Shape:
    if len(x.shape) != 4:
        _refuse(node, f"'{x.name}' has the shape {x.shape}, not batch, height, width, channels")
    return x.shape


def _kernel(node: Node, w: Tensor) -> tuple[int, int]:
    if len(w.shape) != 4:
        _refuse(node, f"its weights have the shape {w.shape}, not four axes")
    if node.options.kernel_hw != w.shape[1:3]:
        _refuse(node, f"its kernel is {node.options.kernel_hw} and its weights have the shape {w.shape}")
    return node.options.kernel_hw


def _conv(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape, w = _map(node, inputs[0]), inputs[1]
    kernel = _kernel(node, w)
    if w.shape[3] != shape[3]:
        if shape[3] % w.shape[3] == 0 and w.shape[0] % (shape[3] // w.shape[3]) == 0:
            _refuse(node, f"it has {shape[3] // w.shape[3]} groups; grouped convolutions are supported as depthwise")
        _refuse(node, f"its weights {w.shape} read {w.shape[3]} channels, and its input has {shape[3]}")
    _check_weights(node, inputs, w.shape[0], axis=0)
    return _window(node, shape, kernel, w.shape[0])


def _depthwise(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape, w = _map(node, inputs[0]), inputs[1]
    kernel, channels = _kernel(node, w), w.shape[3]
    if w.shape[0] != 1 or channels % shape[3]:  # the multiplier in the options is not read by any runtime
        _refuse(node, f"its weights have the shape {w.shape} and its input {shape[3]} channels")
    _check_weights(node, inputs, channels, axis=3)
    return _window(node, shape, kernel, channels)


def _fully_connected(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    x, w = inputs[:2]
    if len(w.shape) != 2 or prod(x.shape) % w.shape[1]:
        _refuse(node, f"its weights have the shape {w.shape}, and its input {x.shape}")
    _check_weights(node, inputs, w.shape[0], axis=0)
    flat: Shape = (prod(x.shape) // w.shape[1], w.shape[0])
    return [flat, (*x.shape[:-1], w.shape[0])] if x.shape[-1] == w.shape[1] else [flat]


def _broadcast(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    a, b = (tensor.shape for tensor in inputs)
    try:
        return [tuple(int(side) for side in np.broadcast_shapes(a, b))]
    except ValueError:
        _refuse(node, f"its inputs have the shapes {a} and {b}")


def _mean(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape = inputs[0].shape
    axes = {int(axis) for axis in np.ravel(_constant(node, inputs[1]))}
    if not axes or min(axes) < -len(shape) or max(axes) >= len(shape):
        _refuse(node, f"it averages axes {sorted(axes)} of the shape {shape}")
    averaged = {axis % len(shape) for axis in axes}
    kept = [1 if i in averaged else side for i, side in enumerate(shape) if node.options.keep_dims or i not in averaged]
    return [tuple(kept)]


def _pool(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape = _map(node, inputs[0])
    return _window(node, shape, node.options.kernel_hw, shape[3])


def _pad(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shape, amounts = inputs[0].shape, _constant(node, inputs[1])
    if amounts.shape != (len(shape), 2) or amounts.min() < 0 or amounts.max() > _MOST_ELEMENTS:
        _refuse(node, f"it pads the shape {shape} by amounts of the shape {amounts.shape}, each of which must be >= 0")
    return [tuple(side + int(before) + int(after) for side, (before, after) in zip(shape, amounts, strict=True))]


def _same(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    return [inputs[0].shape]


def _reshape(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    """The shape that a constant names; without one, none in particular."""
    size = prod(inputs[0].shape)
    if len(inputs) < 2 or inputs[1].data is None:
        return []
    wanted = [int(side) for side in np.ravel(_constant(node, inputs[1]))]
    free = wanted.count(-1)
    known = prod(side for side in wanted if side != -1)
    if free > 1 or known < 1 or size % known:
        _refuse(node, f"the shape {inputs[0].shape} can't become {wanted}")
    shape = tuple(size // known if side == -1 else side for side in wanted)
    if prod(shape) != size:
        _refuse(node, f"the shape {inputs[0].shape} can't become {wanted}")
    return [shape]


def _concatenation(node: Node, inputs: Sequence[Tensor]) -> list[Shape]:
    shapes, axis = [tensor.shape for tensor in inputs], node.options.axis
    rank = len(shapes[0])
    if not -rank <= axis < rank or any(len(shape) != rank for shape in shapes):
        _refuse(node, f"it joins the shapes {shapes} along axis {axis}")
    axis %= rank
    others = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(others) != 1:
        _refuse(node, f"it joins the shapes {shapes} along axis {axis}")
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _constant(node: Node, tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if tensor.data is None or tensor.dtype not in ("int32", "int64"):
        _refuse(node, f"'{tensor.name}' is {tensor.dtype} and {'computed' if tensor.data is None else 'constant'}")
    return tensor.data


def _refuse(node: Node, reason: str) -> NoReturn:
    raise ExportError(f"node '{node.name}' ({node.op}): {reason}")


_MANY = 1_000_000
_CONSTANT_OPERAND = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "MEAN",
    "PAD",
    "RESHAPE",
)  # has a type of its own
# least and most inputs, and the shapes that the output may have
_RULES: Mapping[str, tuple[int, int, Callable[[Node, Sequence[Tensor]], list[Shape]]]] = {
    "CONV_2D": (2, 3, _conv),
    "DEPTHWISE_CONV_2D": (2, 3, _depthwise),
    "FULLY_CONNECTED": (2, 3, _fully_connected),
    "ADD": (2, 2, _broadcast),
    "MUL": (2, 2, _broadcast),
    "MEAN": (2, 2, _mean),
    "AVERAGE_POOL_2D": (1, 1, _pool),
    "MAX_POOL_2D": (1, 1, _pool),
    "PAD": (2, 2, _pad),
    "SOFTMAX": (1, 1, _same),
    "RESHAPE": (1, 2, _reshape),
    "CONCATENATION": (1, _MANY, _concatenation),
    **{op: (1, 1, _same) for op, kind in KINDS.items() if kind in ("activation", "quantize")},
}
