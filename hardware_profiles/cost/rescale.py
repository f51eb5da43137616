"""The operators of a network after a change of its input's size or of its width: what `fit` computes suggestions from.

Shapes are propagated again from the input, operator by operator; the geometry (SAME or VALID padding, groups, what is
flattened) is read off the given shapes. Widths are rounded to multiples of 8, as MobileNetV2 does, and never below 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from hardware_profiles.cost.ops import OpSpec, TensorSpec

Shape = tuple[int, ...]

_CHANNEL_DIVISOR = 8
_SHAPE_KEEPING = ("activation", "softmax", "quantize")


class RescaleError(ValueError):
    """A network whose geometry does not say what a change would make of it; names the operator."""


def rescale(ops: Sequence[OpSpec], *, side: int | None = None, width: float = 1.0) -> tuple[OpSpec, ...]:
    """The same network for a square input of another side, or with its hidden channels multiplied.

    Args:
        ops: in execution order, of one input.
        side: of the input in pixels; None keeps it.
        width: factor of every channel count but those of the input and of the outputs.

    Raises:
        RescaleError: an operator of unknown kind, grouped channels that the width does not divide, an input that is
            no picture, or a picture too small for a VALID window.
    """
    keep = _output_channels(ops)
    written = {op.output.name for op in ops}
    shapes: dict[str, Shape] = {}
    for op in ops:
        for tensor in op.inputs:
            if tensor.name not in written and tensor.name not in shapes:
                shapes[tensor.name] = _input_shape(tensor, side)
    scaled = []
    for op in ops:
        inputs = tuple(replace(tensor, shape=shapes[tensor.name]) for tensor in op.inputs)
        factor = 1.0 if op.output.name in keep else width
        scaled.append(_rescaled(op, inputs, factor))
        shapes[op.output.name] = scaled[-1].output.shape
    return tuple(scaled)


def without(ops: Sequence[OpSpec], name: str) -> tuple[OpSpec, ...]:
    """The network with each activation of that name, such as HARD_SWISH, replaced by one fused into its producer."""
    alias: dict[str, TensorSpec] = {}
    left = []
    for op in ops:
        inputs = tuple(alias.get(tensor.name, tensor) for tensor in op.inputs)
        if op.kind == "activation" and op.op == name:
            alias[op.output.name] = inputs[0]
        else:
            left.append(replace(op, inputs=inputs))
    return tuple(left)


def as_int8(ops: Sequence[OpSpec]) -> tuple[OpSpec, ...]:
    """A float network as its int8 version: one byte per element and weight, a scale per output channel."""

    def tensor(t: TensorSpec) -> TensorSpec:
        return replace(t, itemsize=1)

    return tuple(
        replace(
            op,
            inputs=tuple(tensor(t) for t in op.inputs),
            output=tensor(op.output),
            weight_itemsize=1,
            channel_scales=op.output.shape[-1] if op.weights else 0,
        )
        for op in ops
    )


def is_float(ops: Sequence[OpSpec]) -> bool:
    """Whether an operator with weights computes in more than a byte; a float input alone makes no float network."""
    return any(op.weights and max(op.output.itemsize, op.weight_itemsize) > 1 for op in ops)


def _input_shape(tensor: TensorSpec, side: int | None) -> Shape:
    if side is None:
        return tensor.shape
    if len(tensor.shape) != 4:
        raise RescaleError(f"input '{tensor.name}' of shape {tensor.shape} is no picture")
    return (1, side, side, tensor.shape[3])


def _output_channels(ops: Sequence[OpSpec]) -> set[str]:
    """Tensors whose channels are the network's answer: its outputs, and what reaches them with channels unchanged."""
    read = {tensor.name for op in ops for tensor in op.inputs}
    keep = {op.output.name for op in ops if op.output.name not in read}
    for op in reversed(ops):
        if op.output.name in keep and not op.weights:
            keep |= {tensor.name for tensor in op.inputs if tensor.shape[-1] == op.output.shape[-1]}
    return keep


def _rescaled(op: OpSpec, inputs: tuple[TensorSpec, ...], factor: float) -> OpSpec:
    x = inputs[0].shape
    channels = _rounded(op.output.shape[-1], factor) if op.weights else 0
    kernel = op.kernel_hw
    shape: Shape
    if op.kind in ("conv", "depthwise_conv", "avg_pool", "max_pool"):
        if op.kind.endswith("pool") and kernel == op.inputs[0].shape[1:3]:
            kernel = (x[1], x[2])  # global: stays so
        h, w = (_window(op, axis, x[axis], kernel[axis - 1]) for axis in (1, 2))
        multiplier = op.output.shape[-1] // op.inputs[0].shape[-1]
        count = {"conv": channels, "depthwise_conv": x[3] * multiplier}.get(op.kind, x[3])
        shape = (1, h, w, count)
    elif op.kind == "fully_connected":
        shape = (*op.output.shape[:-1], channels)
    elif op.kind == "mean":
        shape = (1, 1, 1, x[3]) if len(op.output.shape) == 4 else (1, x[-1])
    elif op.kind == "reshape":
        shape = _reshaped(op, x)
    elif op.kind in ("add", "mul"):
        shape = max((tensor.shape for tensor in inputs), key=prod)
    elif op.kind == "concat":
        shape = (*x[:-1], sum(tensor.shape[-1] for tensor in inputs))
    elif op.kind == "pad":
        before = op.inputs[0].shape
        shape = tuple(new + padded - old for new, padded, old in zip(x, op.output.shape, before, strict=True))
    elif op.kind in _SHAPE_KEEPING:
        shape = x
    else:
        raise RescaleError(f"{op.op} '{op.output.name}' is not known well enough to say what a change makes of it")
    return replace(
        op,
        inputs=inputs,
        output=replace(op.output, shape=shape),
        kernel_hw=kernel,
        stride_hw=kernel if op.stride_hw == op.kernel_hw and op.kind.endswith("pool") else op.stride_hw,
        weights=_weights(op, inputs[0], shape[-1]),
        biases=shape[-1] if op.biases else 0,
        channel_scales=shape[-1] if op.channel_scales == op.output.shape[-1] else op.channel_scales,
    )


def _rounded(channels: int, factor: float) -> int:
    if factor == 1.0:
        return channels
    return max(_CHANNEL_DIVISOR, round(channels * factor / _CHANNEL_DIVISOR) * _CHANNEL_DIVISOR)


def _window(op: OpSpec, axis: int, size: int, kernel: int) -> int:
    """Outputs along one axis, padded as the given shapes say."""
    stride, kernel = op.stride_hw[axis - 1], (kernel - 1) * op.dilation_hw[axis - 1] + 1
    given, made = op.inputs[0].shape[axis], op.output.shape[axis]
    same = made == -(-given // stride) and (kernel > 1 or stride == 1)
    outputs = -(-size // stride) if same else (size - kernel) // stride + 1
    if outputs < 1:
        raise RescaleError(f"{op.op} '{op.output.name}' has a window of {kernel}, larger than its input of {size}")
    return outputs


def _reshaped(op: OpSpec, x: Shape) -> Shape:
    if op.inputs[0].shape[-1] == op.output.shape[-1]:
        return (*op.output.shape[:-1], x[-1])
    if prod(op.output.shape) == op.output.shape[-1]:
        return (*op.output.shape[:-1], prod(x))
    raise RescaleError(f"{op.op} '{op.output.name}' reshapes to {op.output.shape}, which a change would break")


def _weights(op: OpSpec, x: TensorSpec, channels: int) -> int:
    if not op.weights:
        return 0
    kernel = op.kernel_hw[0] * op.kernel_hw[1]
    if op.kind == "depthwise_conv":
        return kernel * channels
    if op.kind == "fully_connected":
        return prod(x.shape) * channels
    groups, rest = divmod(kernel * op.inputs[0].shape[-1] * op.output.shape[-1], op.weights)
    if rest or x.shape[-1] % groups or channels % groups:
        raise RescaleError(f"{op.op} '{op.output.name}' has {groups} groups that the new width does not divide")
    return kernel * x.shape[-1] * channels // groups
