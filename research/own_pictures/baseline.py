"""The plain baseline: what 30 lines of torch make of the pictures, a depthwise net of stated MACs from scratch.

A 3x3 stem, then six pairs of a 3x3 depthwise and a 1x1 convolution whose widths double at each stride (MobileNet,
Howard et al. 2017, arXiv 1704.04861), batch norm and ReLU behind each, global average pooling, a linear classifier.
"""

from __future__ import annotations

import torch
from torch import nn

from flatnas.nets.blocks import conv_bn

_BLOCKS = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (8, 1))  # width in stems, stride
_STRIDED_FROM = 48  # pixels; the stem of larger pictures strides, as that of the search space does
_WIDTH_STEP = 4


def plain_net(num_classes: int, resolution: int, most_macs: int) -> nn.Sequential:
    """The widest net of at most so many MACs, its width a multiple of 4, with torch's random weights."""
    width = _WIDTH_STEP
    while plain_macs(width + _WIDTH_STEP, num_classes, resolution) <= most_macs:
        width += _WIDTH_STEP
    stride = 2 if resolution > _STRIDED_FROM else 1
    layers = [conv_bn(resolution, 3, width, 3, stride, activation="relu")]
    side, channels = -(-resolution // stride), width
    for stems, stride in _BLOCKS:
        layers.append(conv_bn(side, channels, channels, 3, stride, depthwise=True, activation="relu"))
        side = -(-side // stride)
        layers.append(conv_bn(side, channels, stems * width, activation="relu"))
        channels = stems * width
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.add_module("classifier", nn.Linear(channels, num_classes))
    return net.to(memory_format=torch.channels_last)


def plain_macs(width: int, num_classes: int, resolution: int) -> int:
    """Multiply-accumulates of the net whose stem has `width` channels."""
    side, channels = -(-resolution // (2 if resolution > _STRIDED_FROM else 1)), width
    total = side**2 * 27 * width
    for stems, stride in _BLOCKS:
        side = -(-side // stride)
        total += side**2 * channels * (9 + stems * width)
        channels = stems * width
    return total + channels * num_classes
