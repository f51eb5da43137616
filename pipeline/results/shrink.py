"""What `pipeline shrink` found: the smaller file beside the given one, and why it is exact."""

from __future__ import annotations

from dataclasses import dataclass

from export.passes.dead_channels import DeadChannel
from export.shrink import Sameness


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A file in bytes, its multiply-accumulates, its weights, and the channels of all activations."""

    file_bytes: int
    macs: int
    weights: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShrinkProof:
    """What `pipeline shrink --json` writes.

    Attributes:
        sha256: of the model that was given.
        removed: channels, in the order of execution.
        parity: empty where nothing was removed, and the file is the one that was given.
        seed: of the random inputs.
        equal: the files are the same, or at least one runtime ran both and no output differs.
    """

    model: str
    sha256: str
    before: ModelSize
    after: ModelSize
    removed: tuple[DeadChannel, ...]
    parity: tuple[Sameness, ...]
    seed: int
    equal: bool
