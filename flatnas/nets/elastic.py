"""The layers of a supernet: the weights of the largest form, of which a smaller one is a slice.

The first channels of a width or an expansion, the centre of a kernel (BigNAS, Yu et al. 2020, arXiv 2003.11142,
section 3), in OFA's mobile space the centre times a learned matrix (Once-for-All, section 3.3). A slice of noise is
noise, so two subnets can meet the same perturbation.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from flatnas.nets.blocks import InvertedResidual, SqueezeExcite, padding
from flatnas.nets.depthwise import depthwise_conv2d
from flatnas.space.arch import Activation, Block, SearchSpace, Stage, StageSpace


class ElasticConv(nn.Module):
    """A 1x1 convolution with an optional bias, elastic in its channels; gates and the mixing layer have no norm."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def sliced(self, channels_in: int, channels_out: int) -> tuple[Tensor, Tensor | None]:
        """Weight (channels_out, channels_in, 1, 1) and bias (channels_out,) of a smaller form."""
        return self.weight[:channels_out, :channels_in], None if self.bias is None else self.bias[:channels_out]

    def forward(self, x: Tensor, channels_out: int) -> Tensor:
        """(B, C, H, W) to (B, channels_out, H, W)."""
        return functional.conv2d(x, *self.sliced(x.shape[1], channels_out))

    @torch.no_grad()
    def copy_into(self, conv: nn.Conv2d) -> None:
        """Write the slice that `conv` stands for into it."""
        weight, bias = self.sliced(conv.in_channels, conv.out_channels)
        conv.weight.copy_(weight)
        if conv.bias is not None and bias is not None:
            conv.bias.copy_(bias)


class ElasticConvBN(nn.Module):
    """A convolution, batch norm and activation of which any leading channels and any smaller kernel can be used.

    Args:
        kernels: choices, ascending.
        kernel_transform: whether a smaller kernel passes through learned matrices.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernels: tuple[int, ...] = (1,),
        stride: int = 1,
        *,
        depthwise: bool = False,
        same: bool = True,
        kernel_transform: bool = False,
        activation: Activation | None = "relu6",
    ) -> None:
        super().__init__()
        self.stride, self.depthwise, self.same, self.activation = stride, depthwise, same, activation
        largest = kernels[-1]
        self.weight = nn.Parameter(torch.empty(channels_out, 1 if depthwise else channels_in, largest, largest))
        self.gamma = nn.Parameter(torch.ones(channels_out))
        self.beta = nn.Parameter(torch.zeros(channels_out))
        smaller = kernels[:-1] if kernel_transform else ()
        self.transforms = nn.ParameterDict({f"to{k}": nn.Parameter(torch.eye(k * k)) for k in smaller})
        self.chain = tuple(reversed(kernels)) if kernel_transform else ()
        nn.init.kaiming_normal_(self.weight, mode="fan_in" if depthwise else "fan_out", nonlinearity="relu")

    def sliced_weight(self, channels_in: int, channels_out: int, kernel: int) -> Tensor:
        """The weight of a smaller form, shape (channels_out, channels_in or 1, kernel, kernel)."""
        weight = self.weight[:channels_out, : 1 if self.depthwise else channels_in]
        for larger, smaller in pairwise(self.chain):
            if smaller >= kernel:
                start = (larger - smaller) // 2
                centre = weight[:, :, start : start + smaller, start : start + smaller]
                weight = functional.linear(centre.flatten(2), self.transforms[f"to{smaller}"]).view_as(centre)
        start = (weight.shape[-1] - kernel) // 2
        return weight[:, :, start : start + kernel, start : start + kernel]

    def forward(self, x: Tensor, channels_out: int, kernel: int = 1) -> Tensor:
        """Normalises by the batch's own statistics: subnets share no running ones (Once-for-All recalibrates them)."""
        weight = self.sliced_weight(x.shape[1], channels_out, kernel)
        before, after = padding(x.shape[2], kernel, self.stride, same=self.same)
        if before != after:
            x = functional.pad(x, (before, after, before, after))
        symmetric = before if before == after else 0
        conv2d = depthwise_conv2d if self.depthwise else functional.conv2d
        x = conv2d(x, weight, stride=self.stride, padding=symmetric)
        x = functional.batch_norm(x, None, None, self.gamma[:channels_out], self.beta[:channels_out], training=True)
        return _activate(x, self.activation)

    @torch.no_grad()
    def copy_into(self, layer: nn.Sequential) -> None:
        """Write the slice that `layer` (from `conv_bn`) stands for into its convolution and batch norm."""
        conv, bn = layer.get_submodule("conv"), layer.get_submodule("bn")
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(bn, nn.BatchNorm2d)
        conv.weight.copy_(self.sliced_weight(conv.in_channels, conv.out_channels, conv.kernel_size[0]))
        bn.weight.copy_(self.gamma[: conv.out_channels])
        bn.bias.copy_(self.beta[: conv.out_channels])


class ElasticSqueezeExcite(nn.Module):
    """Channel gates elastic in the gated and in the squeezed channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = ElasticConv(channels, squeezed, bias=True)
        self.expand = ElasticConv(squeezed, channels, bias=True)
        nn.init.zeros_(self.expand.weight)  # every gate begins half open, so that gated and ungated subnets agree

    def forward(self, x: Tensor, squeezed: int) -> Tensor:
        """(B, C, H, W) to the same shape, through `squeezed` channels."""
        gate = self.expand(functional.relu(self.reduce(x.mean((2, 3), keepdim=True), squeezed)), x.shape[1])
        return x * functional.hardsigmoid(gate)

    def copy_into(self, gates: SqueezeExcite) -> None:
        """Write the slices that `gates` stands for into it."""
        self.reduce.copy_into(gates.reduce)
        self.expand.copy_into(gates.expand)


class ElasticInvertedResidual(nn.Module):
    """An inverted residual elastic in input and output channels, kernel, expansion and gating."""

    def __init__(self, space: SearchSpace, stage: StageSpace, channels_in: int, *, entry: bool) -> None:
        super().__init__()
        self.space, self.entry, self.stride = space, entry, stage.stride if entry else 1
        channels_out, expanded = stage.channels[-1], channels_in * stage.expands[-1]
        same, activation = space.same_padding, stage.activation
        self.expand = (
            ElasticConvBN(channels_in, expanded, same=same, activation=activation) if stage.expands != (1,) else None
        )
        self.depthwise = ElasticConvBN(
            expanded,
            expanded,
            stage.kernels,
            self.stride,
            depthwise=True,
            same=same,
            kernel_transform=space.kernel_transform,
            activation=activation,
        )
        squeezed = space.squeeze_channels(channels_in, expanded)
        self.squeeze_excite = ElasticSqueezeExcite(expanded, squeezed) if True in stage.squeeze_excites else None
        self.project = ElasticConvBN(expanded, channels_out, same=same, activation=None)

    def forward(self, x: Tensor, stage: Stage, block: Block) -> Tensor:
        """(B, C, H, W) through the block that these genes describe."""
        channels_in = x.shape[1]
        expanded = channels_in * block.expand
        y: Tensor = self.expand(x, expanded) if self.expand is not None else x
        y = self.depthwise(y, expanded, block.kernel)
        if stage.squeeze_excite:
            assert self.squeeze_excite is not None
            y = self.squeeze_excite(y, self.space.squeeze_channels(channels_in, expanded))
        y = self.project(y, stage.channels)
        return x + y if self.space.adds_input(channels_in, stage.channels, self.stride, entry=self.entry) else y

    def copy_into(self, block: InvertedResidual) -> None:
        """Write the slices that `block` stands for into it."""
        if self.expand is not None:
            assert block.expand is not None
            self.expand.copy_into(block.expand)
        self.depthwise.copy_into(block.depthwise)
        if block.squeeze_excite is not None:
            assert self.squeeze_excite is not None
            self.squeeze_excite.copy_into(block.squeeze_excite)
        self.project.copy_into(block.project)


def _activate(x: Tensor, activation: Activation | None) -> Tensor:
    match activation:
        case "relu":
            return functional.relu(x)
        case "relu6":
            return functional.relu6(x)
        case "hard_swish":
            return functional.hardswish(x)
    return x
