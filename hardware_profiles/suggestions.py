"""What to change to make a network fit a target; each change is computed by lowering the changed network again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hardware_profiles.cost.libraries import unaccelerated
from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.cost.order import smallest_order
from hardware_profiles.cost.rescale import RescaleError, as_int8, is_float, rescale, without
from hardware_profiles.footprint import Footprint, excess, flatbuffer_bytes, footprint, needs
from hardware_profiles.profile import HardwareProfile

WIDTHS = (0.75, 0.5, 0.35, 0.25)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One change of the network.

    Attributes:
        change: in words: `drop the input to 28x28`.
        saves: what the changed network needs less of each resource; negative where it needs more.
        fits: whether it then meets every budget.
    """

    change: str
    saves: Mapping[str, float]
    fits: bool


def suggestions(
    ops: Sequence[OpSpec], profile: HardwareProfile, before: Footprint, *, file_bytes: int | None = None
) -> tuple[Suggestion, ...]:
    """The mildest changes after which the network fits, at most one per kind of change; the nearest miss if none does.

    Stronger kinds, such as a smaller input together with a smaller width, are tried where no milder one suffices.

    Args:
        ops: of a network that breaks a budget.
        before: what it costs by the runtime that counts.
        file_bytes: size of the model's file where there is one; the changed file is larger or smaller by the estimate.
    """
    found: list[tuple[float, Suggestion]] = []
    for kinds in _changes(tuple(ops), profile, before):
        for candidates in kinds:
            nearest: tuple[float, Suggestion] | None = None
            for change, changed in candidates:
                size = None if file_bytes is None else file_bytes + flatbuffer_bytes(changed) - flatbuffer_bytes(ops)
                after = footprint(changed, profile, runtime=before.runtime, file_bytes=size)
                tried = _tried(change, before, after, profile)
                if nearest is None or tried[0] < nearest[0]:
                    nearest = tried
                if tried[1].fits:
                    break
            if nearest is not None:
                found.append(nearest)
        if fitting := tuple(suggestion for _, suggestion in found if suggestion.fits):
            return fitting
    return tuple(suggestion for _, suggestion in sorted(found, key=lambda f: f[0])[:1])


def _tried(change: str, before: Footprint, after: Footprint, profile: HardwareProfile) -> tuple[float, Suggestion]:
    worst = max(excess(after, profile.budget).values())
    had, has = needs(before), needs(after)
    return worst, Suggestion(change, {r: had[r] - has[r] for r in had}, worst <= 0)


Candidates = Iterator[tuple[str, tuple[OpSpec, ...]]]


def _changes(ops: tuple[OpSpec, ...], profile: HardwareProfile, cost: Footprint) -> Iterator[list[Candidates]]:
    """Kinds of change, those to be tried together in one list; the candidates of each from mild to strong."""
    prefix = ""
    if cost.sram_bytes > profile.budget.sram_bytes and (reordered := smallest_order(ops)) != ops:
        yield [iter([("write its operators in another order", reordered)])]
    if is_float(ops):
        ops, prefix = as_int8(ops), "quantize it to int8 and "
        yield [iter([("quantize it to int8", ops)])]
    if "HARD_SWISH" in unaccelerated(ops, profile.core, cost.runtime):
        yield [iter([(f"{prefix}replace HARD_SWISH by RELU6", without(ops, "HARD_SWISH"))])]
    sides, widths = _sides(ops), WIDTHS
    both = sorted(((w, side) for w in widths for side in sides), key=lambda pair: -pair[0] * pair[1])
    yield [
        ((f"{prefix}drop the input to {side}x{side}", o) for side in sides if (o := _rescaled(ops, side, 1.0))),
        ((f"{prefix}drop the width to {w:g}", o) for w in widths if (o := _rescaled(ops, None, w))),
    ]
    yield [
        (
            (f"{prefix}drop the input to {side}x{side} and the width to {w:g}", o)
            for w, side in both
            if (o := _rescaled(ops, side, w))
        )
    ]


def _sides(ops: Sequence[OpSpec]) -> list[int]:
    """Smaller sides of a square input, in steps of an eighth of it, down to half of it."""
    shape = ops[0].inputs[0].shape
    if len(shape) != 4 or shape[1] != shape[2]:
        return []
    side = shape[1]
    step = max(1, side // 8)
    return list(range(side - step, side // 2 - 1, -step))


@lru_cache(maxsize=256)
def _rescaled(ops: tuple[OpSpec, ...], side: int | None, width: float) -> tuple[OpSpec, ...] | None:
    """Cached, since `fit --target all` asks the same for every target."""
    try:
        return rescale(ops, side=side, width=width)
    except RescaleError:
        return None
