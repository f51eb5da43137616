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

from flatnas.arch import Arch, Block, SearchSpace
from flatnas.blocks import ElasticConvBN, ElasticInvertedResidual, InvertedResidual, conv_bn


class Subnet(nn.Module):
    """One network of the space as plain layers, in the order of `SearchSpace.lower`."""

    def __init__(self, space: SearchSpace, arch: Arch) -> None:
        super().__init__()
        size, channels = arch.resolution, space.stem_channels
        self.stem = conv_bn(size, 3, channels, kernel=3)
        blocks = []
        for stage, genes in zip(space.stages, arch.stages, strict=True):
            for b, block in enumerate(genes):
                stride = stage.stride if b == 0 else 1
                blocks.append(InvertedResidual(size, channels, stage.channels, block.kernel, block.expand, stride))
                size, channels = -(-size // stride), stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = conv_bn(size, channels, space.head_channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(space.head_channels, space.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, R, R), pixels as (p - 128) / 128, to logits (B, num_classes)."""
        x = self.head(self.blocks(self.stem(x)))
        logits: Tensor = self.classifier(self.flatten(self.pool(x)))
        return logits


class Supernet(nn.Module):
    """All subnets of a space in one set of weights."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.stem = ElasticConvBN(3, space.stem_channels, kernel=3)
        channels, stages = space.stem_channels, []
        for stage in space.stages:
            blocks = []
            for b in range(max(stage.depths)):
                stride = stage.stride if b == 0 else 1
                blocks.append(
                    ElasticInvertedResidual(channels, stage.channels, max(stage.kernels), max(stage.expands), stride)
                )
                channels = stage.channels
            stages.append(nn.ModuleList(blocks))
        self.stages = nn.ModuleList(stages)
        self.head = ElasticConvBN(channels, space.head_channels)
        self.classifier = nn.Linear(space.head_channels, space.num_classes)

    def forward(self, x: Tensor, arch: Arch) -> Tensor:
        """(B, 3, arch.resolution, arch.resolution) to logits (B, num_classes), normalised by the batch's statistics."""
        x = self.stem(x, self.space.stem_channels, 3)
        for block, genes in self._active(arch):
            x = block(x, genes.kernel, genes.expand)
        x = self.head(x, self.space.head_channels)
        return functional.linear(x.mean((2, 3)), self.classifier.weight, self.classifier.bias)

    def extract(self, arch: Arch) -> Subnet:
        """The subnet with a copy of its weights; its batch-norm statistics are still to be recalibrated."""
        if arch not in self.space:
            raise ValueError(f"{arch} is not in the search space '{self.space.name}'")
        net = Subnet(self.space, arch)
        self.stem.copy_into(net.stem)
        for (elastic, _), block in zip(self._active(arch), net.blocks, strict=True):
            assert isinstance(block, InvertedResidual)
            elastic.copy_into(block)
        self.head.copy_into(net.head)
        net.classifier.load_state_dict(self.classifier.state_dict())
        return net.to(memory_format=torch.channels_last)

    def _active(self, arch: Arch) -> list[tuple[ElasticInvertedResidual, Block]]:
        pairs = []
        for stage, genes in zip(self.stages, arch.stages, strict=True):
            assert isinstance(stage, nn.ModuleList)
            for block, block_genes in zip(stage, genes, strict=False):  # depth keeps the first blocks of a stage
                assert isinstance(block, ElasticInvertedResidual)
                pairs.append((block, block_genes))
        return pairs


def noise_like(supernet: Supernet, seed: int) -> Supernet:
    """A supernet-shaped set of standard normal values, for `extract`: subnets slice the same noise from it."""
    noise = Supernet(supernet.space)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in noise.parameters():
            parameter.normal_(generator=generator)
    return noise
