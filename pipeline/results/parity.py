"""`audit/parity.json`: every runtime beside the integer interpreter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRow:
    """One runtime against the integer interpreter on the same int8 inputs, in LSB of the scores: `audit/parity.json`.

    Attributes:
        beyond: share of the scores that differ by more than the bound.
        holds: whether that is allowed.
        first_difference: the first operator whose output differs on any input; null where none does.
    """

    runner: str
    max_abs_lsb: int
    mismatches: int
    n: int
    top1_agreement: float
    bound_lsb: int
    beyond: float
    holds: bool
    first_difference: str | None
