"""Where buffers lie in one arena: first fit in an order, that order repaired, and the optimum where it is small enough.

The problem is dynamic storage allocation with known lifetimes, NP-hard (Garey & Johnson 1979, SR2). No arena can be
smaller than what is alive at once, so a placement of that size ends every search.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_REPAIRS = 24  # of an order, each moving the buffer at the arena's top to the front
_STEPS = 60_000  # of the exact search, each one time of one placement: about 20 ms; eight operators need a few hundred


@dataclass(frozen=True, slots=True)
class Life:
    """A buffer: its bytes, and the first and the last operator during which it holds something."""

    name: str
    size: int
    first: int
    last: int
    index: int  # by first use; inputs of an operator before its output

    def meets(self, other: Life) -> bool:
        """Whether both are alive at once."""
        return self.first <= other.last and other.first <= self.last


Placement = tuple[int, dict[str, int]]  # arena size, offset of each buffer by name


def first_fit(lives: Iterable[Life]) -> Placement:
    """Each buffer at the lowest gap left by those placed before and alive with it."""
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; by offset
    offsets: dict[str, int] = {}
    peak = 0
    for life in lives:
        offset, size, first, last = 0, life.size, life.first, life.last
        for start, end, other_first, other_last in placed:
            if other_last < first or last < other_first:
                continue
            if offset + size <= start:
                break
            if end > offset:
                offset = end
        offsets[life.name] = offset
        insort(placed, (offset, offset + size, first, last))
        if offset + size > peak:
            peak = offset + size
    return peak, offsets


def improve(best: Placement, order: Sequence[Life], bound: int) -> Placement:
    """A placement at least as good as `best`, which was found by first fit in `order`; `bound` bytes are the least."""
    lives = list(order)
    peak, offsets = best
    for _ in range(_REPAIRS):
        top = next(life for life in lives if offsets[life.name] + life.size == peak)
        lives.remove(top)
        lives.insert(0, top)
        peak, offsets = first_fit(lives)
        if peak < best[0]:
            best = peak, offsets
        if best[0] == bound:
            return best
    return _exact(lives, bound, best)


def _exact(lives: Sequence[Life], bound: int, best: Placement) -> Placement:
    """Branch and bound over placements in which every buffer lies at 0 or on top of another that is alive with it.

    Buffers are placed by ascending offset, so that one lies above all those that are alive with it and placed before:
    its offset follows from which those are. What is still to be placed at a time comes on top of what is there.
    """
    n = len(lives)
    order = sorted(range(n), key=lambda k: (-lives[k].size, lives[k].index))
    meets = [[j for j in range(n) if j != k and lives[k].meets(lives[j])] for k in range(n)]
    waiting = [0] * (1 + max(life.last for life in lives))  # bytes alive at a time and not placed yet
    for life in lives:
        for time in range(life.first, life.last + 1):
            waiting[time] += life.size
    tops = [0] * len(waiting)
    floor = [0] * n
    at: dict[int, int] = {}
    nodes, limit = 0, _STEPS // len(waiting)

    def place(last: tuple[int, int]) -> None:
        nonlocal best, nodes
        if len(at) == n:
            best = max(tops), {lives[k].name: offset for k, offset in at.items()}
            return
        for k in order:
            if nodes >= limit or best[0] == bound:
                return
            if k in at or (floor[k], k) < last:
                continue
            nodes += 1
            offset, life = floor[k], lives[k]
            times = range(life.first, life.last + 1)
            saved = [(time, tops[time]) for time in times], [(j, floor[j]) for j in meets[k]]
            at[k] = offset
            for time in times:
                waiting[time] -= life.size
                tops[time] = max(tops[time], offset + life.size)
            for j in meets[k]:
                floor[j] = max(floor[j], offset + life.size)
            least = max(max(top, offset if more else 0) + more for top, more in zip(tops, waiting, strict=True))
            if least < best[0]:
                place((offset, k))
            del at[k]
            for time, top in saved[0]:
                tops[time] = top
                waiting[time] += life.size
            for j, before in saved[1]:
                floor[j] = before

    place((0, -1))
    return best
