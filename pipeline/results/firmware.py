"""`model/firmware/proof.json`: what the emulated firmware computed, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from export.prove.proof import Proof


@dataclass(frozen=True, slots=True)
class FirmwareProof:
    """`proof.json`.

    Attributes:
        removed_channels: of the file, that the firmware leaves out since no output depends on them.
        skipped: why nothing was emulated, and how to change that; null where something was.
    """

    cores: tuple[Proof, ...]
    removed_channels: int = 0
    skipped: str | None = None
