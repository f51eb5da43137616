"""`model/firmware/proof.json`: what the emulated firmware computed, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from export.prove.proof import Proof


@dataclass(frozen=True, slots=True)
class FirmwareProof:
    """`proof.json`.

    Attributes:
        skipped: why nothing was emulated, and how to change that; null where something was.
    """

    cores: tuple[Proof, ...]
    skipped: str | None = None
