"""Depthwise convolutions that train quickly on a CPU: oneDNN's fast weight gradient stops at kernels of 3.

For 5 and 7 it falls back to a dense one, which takes several times as long as the rest of the layer together. So that
gradient is computed by `flatnas.nets.depthwise_gradient`; the forward pass and the input's gradient stay with torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_LARGEST_OF_ONEDNN = 3  # side of the largest kernel with a weight gradient made for depthwise convolutions


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """A convolution of each channel by itself, without bias.

    Args:
        x: (B, C, H, W).
        weight: (C, 1, k, k).
        padding: rows and columns of zeros on each side.

    Returns:
        (B, C, H', W').
    """
    trains = torch.is_grad_enabled() and weight.requires_grad
    if trains and x.device.type == "cpu" and x.dtype == torch.float32 and weight.shape[2] > _LARGEST_OF_ONEDNN:
        y: Tensor = _DepthwiseConv2d.apply(x, weight, stride, padding)
        return y
    return functional.conv2d(x, weight, stride=stride, padding=padding, groups=weight.shape[0])


@contextmanager
def quick_depthwise(module: nn.Module) -> Iterator[None]:
    """Let layers that compute by `depthwise_conv2d` stand for a network's depthwise ones, until it is left.

    They share the weights; copies of the network made meanwhile are quick, too, with weights of their own.
    """
    plain = [
        (parent, name, layer)
        for parent in module.modules()
        for name, layer in parent.named_children()
        if type(layer) is nn.Conv2d and _is_depthwise(layer)
    ]
    for parent, name, layer in plain:
        parent.add_module(name, _QuickConv2d(layer))
    try:
        yield
    finally:
        for parent, name, layer in plain:
            parent.add_module(name, layer)


class _QuickConv2d(nn.Module):
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.stride, self.padding = layer.weight, layer.stride[0], int(layer.padding[0])

    def forward(self, x: Tensor) -> Tensor:
        return depthwise_conv2d(x, self.weight, self.stride, self.padding)


def _is_depthwise(layer: nn.Conv2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (layer.kernel_size, layer.stride, layer.padding))
    plain = layer.dilation == (1, 1) and layer.padding_mode == "zeros" and layer.bias is None
    return square and plain and layer.groups == layer.in_channels == layer.out_channels


class _DepthwiseConv2d(torch.autograd.Function):
    """The convolution of torch with the weight gradient of `flatnas.nets.depthwise_gradient`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, stride=stride, padding=padding, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        from flatnas.nets.depthwise_gradient import weight_gradient

        (dy,), (x, weight), stride, padding = gradients, ctx.saved_tensors, ctx.stride, ctx.padding
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.aten.convolution_backward(
                dy,
                x,
                weight,
                None,
                [stride] * 2,
                [padding] * 2,
                [1, 1],
                False,
                [0, 0],
                len(weight),
                [True, False, False],
            )[0]
        if ctx.needs_input_grad[1]:
            pixels, outputs = (t.detach().permute(0, 2, 3, 1).contiguous().numpy() for t in (x, dy))
            threads = torch.get_num_threads()
            gradient = weight_gradient(pixels, outputs, weight.shape[2], stride, padding, threads)
            dw = torch.from_numpy(gradient).permute(2, 0, 1).unsqueeze(1).contiguous()
        return dx, dw, None, None
