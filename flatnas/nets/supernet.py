"""The Once-for-All supernet, and the plain subnets that come out of it.

    supernet = Supernet(space)
    logits = supernet(x, arch)           # training: batch statistics, shared weights
    net = supernet.extract(arch)         # nn.Module with a copy of its weights
    recalibrate(net, images)             # batch-norm statistics of its own: without them a subnet scores near chance

Cai et al., "Once-for-All", ICLR 2020, arXiv 1908.09791.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from flatnas.nets.blocks import GlobalMix, InvertedResidual, conv_bn
from flatnas.nets.elastic import ElasticConv, ElasticConvBN, ElasticInvertedResidual
from flatnas.space.arch import Arch, Block, SearchSpace, Stage


class Subnet(nn.Module):
    """One network of the space as plain layers, in the order of `flatnas.space.lowering.lower`."""

    def __init__(self, space: SearchSpace, arch: Arch) -> None:
        super().__init__()
        same = space.same_padding
        self.stem = conv_bn(arch.resolution, 3, arch.stem, 3, space.stem_stride, same=same, activation=space.activation)
        size, channels, blocks = -(-arch.resolution // space.stem_stride), arch.stem, []
        for stage_space, stage in zip(space.stages, arch.stages, strict=True):
            for b, block in enumerate(stage.blocks):
                stride = stage_space.stride if b == 0 else 1
                squeezed = space.squeeze_channels(channels, channels * block.expand) if stage.squeeze_excite else 0
                blocks.append(
                    InvertedResidual(
                        size,
                        channels,
                        stage.channels,
                        block.kernel,
                        block.expand,
                        stride,
                        residual=space.adds_input(channels, stage.channels, stride, entry=b == 0),
                        squeezed=squeezed,
                        same=same,
                        activation=stage_space.activation,
                    )
                )
                size, channels = -(-size // stride), stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = conv_bn(size, channels, arch.head, same=same, activation=space.activation)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = GlobalMix(arch.head, space.mix_channels) if space.mix_channels else None
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(space.mix_channels or arch.head, space.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, R, R), pixels as (p - 128) / 128, to logits (B, num_classes)."""
        x = self.pool(self.head(self.blocks(self.stem(x))))
        if self.mix is not None:
            x = self.mix(x)
        logits: Tensor = self.classifier(self.flatten(x))
        return logits


class Supernet(nn.Module):
    """All subnets of a space in one set of weights."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        same, activation = space.same_padding, space.activation
        self.stem = ElasticConvBN(3, space.stems[-1], (3,), space.stem_stride, same=same, activation=activation)
        channels, stages = space.stems[-1], []
        for stage in space.stages:
            blocks = []
            for b in range(max(stage.depths)):
                blocks.append(ElasticInvertedResidual(space, stage, channels, entry=b == 0))
                channels = stage.channels[-1]
            stages.append(nn.ModuleList(blocks))
        self.stages = nn.ModuleList(stages)
        self.head = ElasticConvBN(channels, space.heads[-1], same=same, activation=activation)
        self.mix = ElasticConv(space.heads[-1], space.mix_channels, bias=False) if space.mix_channels else None
        self.classifier = nn.Linear(space.mix_channels or space.heads[-1], space.num_classes)

    def forward(self, x: Tensor, arch: Arch) -> Tensor:
        """(B, 3, R, R) to logits (B, num_classes), by the batch's statistics; R may be any size."""
        x = self.stem(x, arch.stem, 3)
        for module, stage, block in self._active(arch):
            x = module(x, stage, block)
        x = self.head(x, arch.head).mean((2, 3), keepdim=True)
        if self.mix is not None:
            x = functional.hardswish(self.mix(x, self.space.mix_channels))
        x = x.flatten(1)
        return functional.linear(x, self.classifier.weight[:, : x.shape[1]], self.classifier.bias)

    def extract(self, arch: Arch) -> Subnet:
        """The subnet with a copy of its weights; its batch-norm statistics are still to be recalibrated."""
        if arch not in self.space:
            raise ValueError(f"{arch} is not in the search space '{self.space.name}'")
        net = Subnet(self.space, arch)
        self.stem.copy_into(net.stem)
        for (elastic, _, _), block in zip(self._active(arch), net.blocks, strict=True):
            assert isinstance(block, InvertedResidual)
            elastic.copy_into(block)
        self.head.copy_into(net.head)
        if self.mix is not None and net.mix is not None:
            self.mix.copy_into(net.mix.get_submodule("conv"))  # type: ignore[arg-type]
        with torch.no_grad():
            net.classifier.weight.copy_(self.classifier.weight[:, : net.classifier.in_features])
            net.classifier.bias.copy_(self.classifier.bias)
        return net.to(memory_format=torch.channels_last)

    def _active(self, arch: Arch) -> list[tuple[ElasticInvertedResidual, Stage, Block]]:
        active = []
        for modules, stage in zip(self.stages, arch.stages, strict=True):
            assert isinstance(modules, nn.ModuleList)
            for module, block in zip(modules, stage.blocks, strict=False):  # depth keeps a stage's first blocks
                assert isinstance(module, ElasticInvertedResidual)
                active.append((module, stage, block))
        return active


def noise_like(supernet: Supernet, seed: int) -> Supernet:
    """A supernet-shaped set of standard normal values, for `extract`: subnets slice the same noise from it.

    The matrices between kernels stay the identity, so that the noise of a smaller kernel is the centre's.
    """
    noise = Supernet(supernet.space)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in noise.named_parameters():
            if ".transforms." not in name:
                parameter.normal_(generator=generator)
    return noise
