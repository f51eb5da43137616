"""Arch, the genotype of a subnet, and SearchSpace, the set of them.

A space is a family of MobileNetV3-like networks (Howard et al. 2019, arXiv 1905.02244) elastic in input resolution,
width, depth, kernel, expansion and squeeze-excite, as in Once-for-All (Cai et al., ICLR 2020, arXiv 1908.09791).
`flatnas.space.spaces` holds the spaces themselves, `flatnas.space.lowering` what a subnet costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Activation = Literal["relu", "relu6", "hard_swish"]


@dataclass(frozen=True, slots=True)
class Block:
    """One inverted residual: depthwise kernel size and expansion ratio; a ratio of 1 has no expanding convolution."""

    kernel: int
    expand: int


@dataclass(frozen=True, slots=True)
class Stage:
    """The blocks between two strides: their output channels, and whether their depthwise outputs are gated."""

    channels: int
    squeeze_excite: bool
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Arch:
    """A subnet: side of its square input in pixels, channels of stem and head, and the stages between them."""

    resolution: int
    stem: int
    stages: tuple[Stage, ...]
    head: int

    def to_json(self) -> dict[str, Any]:
        """The genotype as JSON values, key by key the attributes above."""
        stages = [
            {
                "channels": stage.channels,
                "squeeze_excite": stage.squeeze_excite,
                "blocks": [{"kernel": b.kernel, "expand": b.expand} for b in stage.blocks],
            }
            for stage in self.stages
        ]
        return {"resolution": self.resolution, "stem": self.stem, "stages": stages, "head": self.head}

    @staticmethod
    def from_json(value: dict[str, Any]) -> Arch:
        """The inverse of `to_json`."""
        stages = tuple(
            Stage(s["channels"], s["squeeze_excite"], tuple(Block(b["kernel"], b["expand"]) for b in s["blocks"]))
            for s in value["stages"]
        )
        return Arch(value["resolution"], value["stem"], stages, value["head"])

    def __str__(self) -> str:
        stages = " ".join(
            f"{stage.channels}{'se' if stage.squeeze_excite else ''}:"
            + "-".join(f"k{b.kernel}e{b.expand}" for b in stage.blocks)
            for stage in self.stages
        )
        return f"r{self.resolution} {self.stem} {stages} {self.head}"


@dataclass(frozen=True, slots=True)
class StageSpace:
    """What one stage may be: the stride of its first block, its activation, and the choices of its genes, ascending.

    `expands` is `(1,)` or has no 1: a block without an expanding convolution shares no weights with one that has it.
    """

    stride: int
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expands: tuple[int, ...]
    squeeze_excites: tuple[bool, ...] = (False,)
    activation: Activation = "relu6"

    def __post_init__(self) -> None:
        if 1 in self.expands and self.expands != (1,):
            raise ValueError(f"expansions {self.expands} mix blocks with and without an expanding convolution")


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Every subnet of one supernet.

    Attributes:
        name: identifies the weights in checkpoints; equal for all resolutions and numbers of classes.
        resolutions: sides of the square input in pixels, ascending.
        stems: output channels of the 3x3 stem.
        stem_stride: of the stem.
        stages: from input to output.
        heads: outputs of the last 1x1 convolution before pooling.
        num_classes: logits.
        activation: of stem and head.
        mix_channels: outputs of a linear layer with hard-swish between pooling and classifier; 0 for none.
        same_padding: TF-SAME, which TFLite needs no PAD operator for; otherwise kernel // 2 on all sides.
        kernel_transform: a smaller kernel is the centre of a larger one times a learned matrix, not the centre alone.
        squeeze_from_expanded: squeeze-excite shrinks to a quarter of the expanded channels, not of the block's input.
        entry_residuals: whether a stage's first block adds its input where stride and channels allow it; only one whose
            channels are no gene should, or small subnets have a residual that the largest one never trains.
    """

    name: str
    resolutions: tuple[int, ...]
    stems: tuple[int, ...]
    stem_stride: int
    stages: tuple[StageSpace, ...]
    heads: tuple[int, ...]
    num_classes: int
    activation: Activation = "relu6"
    mix_channels: int = 0
    same_padding: bool = True
    kernel_transform: bool = False
    squeeze_from_expanded: bool = False
    entry_residuals: bool = True

    @property
    def genes(self) -> tuple[tuple[int, ...], ...]:
        """The choices of each gene, ascending, in the order of `encode`."""
        return tuple(choices for _, choices in self._named_genes())

    @property
    def gene_names(self) -> tuple[str, ...]:
        """What each gene is: `resolution`, `stem`, `stage0.channels`, ..., `stage2.1.kernel`, ..., `head`."""
        return tuple(name for name, _ in self._named_genes())

    def _named_genes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield "resolution", self.resolutions
        yield "stem", self.stems
        for s, stage in enumerate(self.stages):
            yield f"stage{s}.channels", stage.channels
            yield f"stage{s}.squeeze_excite", stage.squeeze_excites
            yield f"stage{s}.depth", stage.depths
            for b in range(max(stage.depths)):
                yield f"stage{s}.{b}.kernel", stage.kernels
                yield f"stage{s}.{b}.expand", stage.expands
        yield "head", self.heads

    def encode(self, arch: Arch) -> npt.NDArray[np.int64]:
        """The genotype as the index of each gene's choice, shape (n_genes,); blocks that depth cuts off are 0."""
        code = [self.resolutions.index(arch.resolution), self.stems.index(arch.stem)]
        for stage, chosen in zip(self.stages, arch.stages, strict=True):
            code.append(stage.channels.index(chosen.channels))
            code.append(stage.squeeze_excites.index(chosen.squeeze_excite))
            code.append(stage.depths.index(len(chosen.blocks)))
            for block in chosen.blocks:
                code += [stage.kernels.index(block.kernel), stage.expands.index(block.expand)]
            code += [0, 0] * (max(stage.depths) - len(chosen.blocks))
        return np.array([*code, self.heads.index(arch.head)], np.int64)

    def decode(self, code: Sequence[int] | npt.NDArray[np.int64]) -> Arch:
        """The inverse of `encode`; the genes of blocks that depth cuts off are ignored."""
        choices = self.genes
        if len(code) != len(choices):
            raise ValueError(f"a genotype of space '{self.name}' has {len(choices)} genes, not {len(code)}")
        values = iter([gene[int(index)] for gene, index in zip(choices, code, strict=True)])
        resolution, stem, stages = next(values), next(values), []
        for stage in self.stages:
            channels, squeeze_excite, depth = next(values), bool(next(values)), next(values)
            blocks = [Block(next(values), next(values)) for _ in range(max(stage.depths))]
            stages.append(Stage(channels, squeeze_excite, tuple(blocks[:depth])))
        return Arch(resolution, stem, tuple(stages), next(values))

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

    def adds_input(self, channels_in: int, channels_out: int, stride: int, *, entry: bool) -> bool:
        """Whether a block adds its input to its output; `entry` is of a stage's first one."""
        return stride == 1 and channels_in == channels_out and (self.entry_residuals or not entry)

    def squeeze_channels(self, channels_in: int, expanded: int) -> int:
        """Channels between the two convolutions of a block's squeeze-excite."""
        return round_channels((expanded if self.squeeze_from_expanded else channels_in) / 4)

    def __contains__(self, arch: Arch) -> bool:
        try:
            return self.decode(self.encode(arch)) == arch
        except ValueError:
            return False


def round_channels(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and at least 0.9 of the argument (`make_divisible` of MobileNet)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
