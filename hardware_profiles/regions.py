"""The parts of a target's SRAM: what lies where, and which of them make one block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hardware_profiles.units import parse_bytes


class Region(BaseModel):
    """A part of the SRAM.

    Attributes:
        at: its address; None where it is not known, and then it counts as a block of its own.
        tcm: whether the core reaches it without wait states and without cache.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: Annotated[int, BeforeValidator(parse_bytes), Field(gt=0)]
    at: int | None = Field(default=None, ge=0)
    tcm: bool = False


Block = tuple[tuple[str, ...], int]  # names of the regions, bytes


def blocks(regions: Mapping[str, Region]) -> tuple[Block, ...]:
    """Each run of SRAM without a gap, in the order of addresses."""
    found: list[Block] = []
    end = None
    for name, region in _by_address(regions):
        if region.at is not None and region.at == end:
            names, size = found.pop()
            found.append(((*names, name), size + region.size_bytes))
        else:
            found.append(((name,), region.size_bytes))
        end = None if region.at is None else region.at + region.size_bytes
    return tuple(found)


def check_regions(regions: Mapping[str, Region], sram_bytes: int) -> None:
    """Raises:
    ValueError: regions overlap, or do not add up to the SRAM.
    """
    before = None
    for name, region in _by_address(regions):
        if before is not None and region.at is not None and region.at < before[1]:
            raise ValueError(
                f"region '{name}' begins at {region.at:#x}, but '{before[0]}' reaches up to {before[1]:#x}"
            )
        before = None if region.at is None else (name, region.at + region.size_bytes)
    total = sum(region.size_bytes for region in regions.values())
    if regions and total != sram_bytes:
        raise ValueError(f"the regions hold {total:,} bytes together, but sram_bytes is {sram_bytes:,}")


def _by_address(regions: Mapping[str, Region]) -> list[tuple[str, Region]]:
    return sorted(regions.items(), key=lambda item: (item[1].at is not None, item[1].at or 0))
