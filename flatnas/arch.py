"""Arch, the genotype of a subnet, and SearchSpace, the set of them.

The space is MobileNetV3's inverted residuals in their minimal form (ReLU6, no squeeze-excite: what Cortex-M kernels
accelerate), elastic in input resolution, depth per stage, and kernel and expansion per block, as in Once-for-All
(Cai et al., ICLR 2020, arXiv 1908.09791). Padding is TF-SAME, so that a TFLite file needs no PAD operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hardware_profiles.ops import OpSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Block:
    """One inverted residual: depthwise kernel size and expansion ratio."""

    kernel: int
    expand: int


@dataclass(frozen=True, slots=True)
class Arch:
    """A subnet: the side of its square input in pixels, and its blocks, stage by stage."""

    resolution: int
    stages: tuple[tuple[Block, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """The genotype as JSON values: `{"resolution": 32, "stages": [[{"kernel": 3, "expand": 2}], ...]}`."""
        stages = [[{"kernel": b.kernel, "expand": b.expand} for b in stage] for stage in self.stages]
        return {"resolution": self.resolution, "stages": stages}

    @staticmethod
    def from_json(value: dict[str, Any]) -> Arch:
        """The inverse of `to_json`."""
        stages = tuple(tuple(Block(b["kernel"], b["expand"]) for b in stage) for stage in value["stages"])
        return Arch(value["resolution"], stages)

    def __str__(self) -> str:
        stages = " ".join("-".join(f"k{b.kernel}e{b.expand}" for b in stage) for stage in self.stages)
        return f"r{self.resolution} {stages}"


@dataclass(frozen=True, slots=True)
class StageSpace:
    """What one stage may be: its output channels, the stride of its first block, and the choices of its genes."""

    channels: int
    stride: int
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expands: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Every subnet of one supernet.

    Attributes:
        name: identifies the space in checkpoints.
        resolutions: sides of the square input in pixels, ascending; the last is the data's own.
        stem_channels: outputs of the 3x3 stride-1 stem.
        stages: from input to output.
        head_channels: outputs of the last 1x1 convolution, pooled into the classifier.
        num_classes: logits.
    """

    name: str
    resolutions: tuple[int, ...]
    stem_channels: int
    stages: tuple[StageSpace, ...]
    head_channels: int
    num_classes: int

    @property
    def genes(self) -> tuple[tuple[int, ...], ...]:
        """The choices of each gene, ascending, in the order of `encode`."""
        choices = [self.resolutions]
        for stage in self.stages:
            choices.append(stage.depths)
            choices += [stage.kernels, stage.expands] * max(stage.depths)
        return tuple(choices)

    def encode(self, arch: Arch) -> npt.NDArray[np.int64]:
        """The genotype as the index of each gene's choice, shape (n_genes,); blocks that depth cuts off are 0."""
        code = [self.resolutions.index(arch.resolution)]
        for stage, blocks in zip(self.stages, arch.stages, strict=True):
            code.append(stage.depths.index(len(blocks)))
            for block in blocks:
                code += [stage.kernels.index(block.kernel), stage.expands.index(block.expand)]
            code += [0, 0] * (max(stage.depths) - len(blocks))
        return np.array(code, np.int64)

    def decode(self, code: Sequence[int] | npt.NDArray[np.int64]) -> Arch:
        """The inverse of `encode`; the genes of blocks that depth cuts off are ignored."""
        choices = self.genes
        if len(code) != len(choices):
            raise ValueError(f"a genotype of space '{self.name}' has {len(choices)} genes, not {len(code)}")
        values = iter([gene[int(index)] for gene, index in zip(choices, code, strict=True)])
        resolution, stages = next(values), []
        for stage in self.stages:
            depth = next(values)
            blocks = [Block(next(values), next(values)) for _ in range(max(stage.depths))]
            stages.append(tuple(blocks[:depth]))
        return Arch(resolution, tuple(stages))

    @property
    def smallest(self) -> Arch:
        """The first choice of every gene: the least of every resource."""
        return self.decode([0] * len(self.genes))

    @property
    def largest(self) -> Arch:
        """The last choice of every gene."""
        return self.decode([len(gene) - 1 for gene in self.genes])

    def sample(self, rng: np.random.Generator) -> Arch:
        """A random subnet, each gene uniform."""
        return self.decode([int(rng.integers(len(gene))) for gene in self.genes])

    def sample_by_size(self, rng: np.random.Generator) -> Arch:
        """A random subnet whose size, too, is spread over the whole space.

        Uniform genes crowd around the middle of every cost, and a tight budget would reject nearly all of them: so
        a bias is drawn first, uniform in [0, 1], and each gene is binomial under it.
        """
        bias = rng.uniform()
        return self.decode([int(rng.binomial(len(gene) - 1, bias)) for gene in self.genes])

    def __contains__(self, arch: Arch) -> bool:
        try:
            return self.decode(self.encode(arch)) == arch
        except ValueError:
            return False

    def lower(self, arch: Arch) -> tuple[OpSpec, ...]:
        """The int8 operators of the exported subnet, in execution order, batch norm folded."""
        hw = arch.resolution
        x = TensorSpec("image", (1, hw, hw, 3))
        ops = [_conv("stem", x, self.stem_channels, kernel=3)]
        for s, (stage, blocks) in enumerate(zip(self.stages, arch.stages, strict=True)):
            for b, block in enumerate(blocks):
                ops += _inverted_residual(
                    f"stage{s}.{b}", ops[-1].output, stage, block, stride=stage.stride if b == 0 else 1
                )
        ops.append(_conv("head", ops[-1].output, self.head_channels))
        pooled = TensorSpec("pool", (1, 1, 1, self.head_channels))
        hw = ops[-1].output.shape[1]
        ops.append(OpSpec("avg_pool", "AVERAGE_POOL_2D", (ops[-1].output,), pooled, kernel_hw=(hw, hw)))
        logits = TensorSpec("logits", (1, self.num_classes))
        n = self.num_classes
        ops.append(
            OpSpec(
                "fully_connected",
                "FULLY_CONNECTED",
                (pooled,),
                logits,
                weights=n * self.head_channels,
                biases=n,
                channel_scales=n,
            )
        )
        return tuple(ops)


def _conv(name: str, x: TensorSpec, channels: int, kernel: int = 1, stride: int = 1, depthwise: bool = False) -> OpSpec:
    _, h, w, c = x.shape
    out = TensorSpec(name, (1, -(-h // stride), -(-w // stride), channels))  # TF-SAME: ceil(size / stride)
    return OpSpec(
        "depthwise_conv" if depthwise else "conv",
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        (x,),
        out,
        kernel_hw=(kernel, kernel),
        stride_hw=(stride, stride),
        weights=kernel * kernel * channels * (1 if depthwise else c),
        biases=channels,
        channel_scales=channels,
    )


def _inverted_residual(name: str, x: TensorSpec, stage: StageSpace, block: Block, stride: int) -> list[OpSpec]:
    expanded = x.shape[3] * block.expand
    ops = [_conv(f"{name}.expand", x, expanded)]
    ops.append(_conv(f"{name}.depthwise", ops[-1].output, expanded, block.kernel, stride, depthwise=True))
    ops.append(_conv(f"{name}.project", ops[-1].output, stage.channels))
    if stride == 1 and x.shape[3] == stage.channels:
        out = TensorSpec(f"{name}.add", ops[-1].output.shape)
        ops.append(OpSpec("add", "ADD", (x, ops[-1].output), out))
    return ops


def mcu_space(num_classes: int) -> SearchSpace:
    """The space for microcontrollers at 32x32: 0.7 M to 11.9 M MACs."""
    return SearchSpace(
        name="mcu-32",
        resolutions=(24, 28, 32),
        stem_channels=16,
        stages=(
            StageSpace(24, stride=2, depths=(1, 2, 3), kernels=(3, 5, 7), expands=(1, 2, 3)),
            StageSpace(40, stride=2, depths=(1, 2, 3), kernels=(3, 5, 7), expands=(2, 3, 4)),
            StageSpace(64, stride=2, depths=(1, 2, 3), kernels=(3, 5, 7), expands=(2, 3, 4)),
        ),
        head_channels=128,
        num_classes=num_classes,
    )
