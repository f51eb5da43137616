"""The layers of a subnet as plain torch modules, and their elastic counterparts that share weights.

An elastic layer holds the weights of its largest form. A smaller one is a slice: the first channels of an expansion,
the centre of a kernel (BigNAS, Yu et al. 2020, arXiv 2003.11142, section 3). A slice of noise is noise, so two subnets
can meet the same perturbation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hardware_profiles.ops import same_padding


def conv_bn(
    size: int,
    channels_in: int,
    channels_out: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    depthwise: bool = False,
    relu6: bool = True,
) -> nn.Sequential:
    """Convolution with TF-SAME padding for a square input of `size`, batch norm, and ReLU6 unless it is linear."""
    before, after = same_padding(size, kernel, stride)
    layers = nn.Sequential()
    if before != after:
        layers.add_module("pad", nn.ZeroPad2d((before, after, before, after)))
    padding = before if before == after else 0
    groups = channels_in if depthwise else 1
    layers.add_module("conv", nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False))
    layers.add_module("bn", nn.BatchNorm2d(channels_out))
    if relu6:
        layers.add_module("act", nn.ReLU6())
    return layers


class InvertedResidual(nn.Module):
    """MobileNetV2/V3 block: expand 1x1, depthwise kxk, linear project 1x1, identity where the shapes allow it."""

    def __init__(self, size: int, channels_in: int, channels_out: int, kernel: int, expand: int, stride: int) -> None:
        super().__init__()
        expanded = channels_in * expand
        self.residual = stride == 1 and channels_in == channels_out
        self.expand = conv_bn(size, channels_in, expanded)
        self.depthwise = conv_bn(size, expanded, expanded, kernel, stride, depthwise=True)
        self.project = conv_bn(-(-size // stride), expanded, channels_out, relu6=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels_out, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class ElasticConvBN(nn.Module):
    """A convolution and batch norm of which any leading channels and any centred kernel can be used."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        depthwise: bool = False,
        relu6: bool = True,
    ) -> None:
        super().__init__()
        self.stride, self.depthwise, self.relu6 = stride, depthwise, relu6
        self.weight = nn.Parameter(torch.empty(channels_out, 1 if depthwise else channels_in, kernel, kernel))
        self.gamma = nn.Parameter(torch.ones(channels_out))
        self.beta = nn.Parameter(torch.zeros(channels_out))
        nn.init.kaiming_normal_(self.weight, mode="fan_out" if not depthwise else "fan_in", nonlinearity="relu")

    def sliced_weight(self, channels_in: int, channels_out: int, kernel: int) -> Tensor:
        """The weight of a smaller form, shape (channels_out, channels_in or 1, kernel, kernel)."""
        start = (self.weight.shape[-1] - kernel) // 2
        fan_in = 1 if self.depthwise else channels_in
        return self.weight[:channels_out, :fan_in, start : start + kernel, start : start + kernel]

    def forward(self, x: Tensor, channels_out: int, kernel: int = 1) -> Tensor:
        """Normalises by the batch's own statistics: subnets share no running ones (Once-for-All recalibrates them)."""
        weight = self.sliced_weight(x.shape[1], channels_out, kernel)
        before, after = same_padding(x.shape[2], kernel, self.stride)
        if before != after:
            x = functional.pad(x, (before, after, before, after))
        padding = before if before == after else 0
        groups = channels_out if self.depthwise else 1
        x = functional.conv2d(x, weight, stride=self.stride, padding=padding, groups=groups)
        x = functional.batch_norm(x, None, None, self.gamma[:channels_out], self.beta[:channels_out], training=True)
        return functional.relu6(x) if self.relu6 else x

    def copy_into(self, layer: nn.Sequential) -> None:
        """Write the slice that `layer` (from `conv_bn`) stands for into its convolution and batch norm."""
        conv, bn = layer.get_submodule("conv"), layer.get_submodule("bn")
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(bn, nn.BatchNorm2d)
        with torch.no_grad():
            conv.weight.copy_(self.sliced_weight(conv.in_channels, conv.out_channels, conv.kernel_size[0]))
            bn.weight.copy_(self.gamma[: conv.out_channels])
            bn.bias.copy_(self.beta[: conv.out_channels])


class ElasticInvertedResidual(nn.Module):
    """An inverted residual elastic in kernel and expansion."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, expand: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and channels_in == channels_out
        self.channels_out = channels_out
        expanded = channels_in * expand
        self.expand = ElasticConvBN(channels_in, expanded)
        self.depthwise = ElasticConvBN(expanded, expanded, kernel, stride, depthwise=True)
        self.project = ElasticConvBN(expanded, channels_out, relu6=False)

    def forward(self, x: Tensor, kernel: int, expand: int) -> Tensor:
        """(B, C, H, W) through the block of the given kernel and expansion."""
        expanded = x.shape[1] * expand
        y: Tensor = self.depthwise(self.expand(x, expanded), expanded, kernel)
        y = self.project(y, self.channels_out)
        return x + y if self.residual else y

    def copy_into(self, block: InvertedResidual) -> None:
        """Write the slices that `block` stands for into it."""
        self.expand.copy_into(block.expand)
        self.depthwise.copy_into(block.depthwise)
        self.project.copy_into(block.project)
