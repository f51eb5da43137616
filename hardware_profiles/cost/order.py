"""The order of operators that needs the smallest arena, among those that compute the same.

A dynamic program over the sets of operators that may be done first (Liberis & Lane 2019, arXiv 1910.05110): the bytes
alive while an operator runs follow from which ones are done, whatever their order was. Networks that branch little have
few such sets. An operator may follow another for what it reads, and, since buffers may be written in place, for what it
overwrites.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from hardware_profiles.cost.memory import aligned, plan_memory
from hardware_profiles.cost.ops import OpSpec

_SETS = 20_000  # of operators done; beyond, a network keeps its order
_SMALL = 8  # operators up to which every order is placed where the best one leaves gaps
_ORDERS = 2_000


def smallest_order(ops: Sequence[OpSpec]) -> tuple[OpSpec, ...]:
    """The operators in the order that needs the smallest arena; as given where no other is smaller.

    Of at most 8 operators the arena is the smallest of all orders and placements. Of more it is that of the order with
    the fewest bytes alive at once, and networks with more than 20,000 sets of operators to be done first keep theirs.
    """
    ops = tuple(ops)
    after = _dependencies(ops)
    if all(i - 1 in after[i] for i in range(1, len(ops))):  # a chain has one order
        return ops
    best, best_peak = ops, plan_memory(ops).peak_bytes
    found = _fewest_alive(ops, after)
    if found is None:
        return ops
    bound, order = found
    if bound < best_peak:
        peak = plan_memory([ops[i] for i in order]).peak_bytes
        if peak < best_peak:
            best, best_peak = tuple(ops[i] for i in order), peak
    if best_peak > bound and len(ops) <= _SMALL:
        for candidate in islice(_orders(after), _ORDERS):
            reordered = tuple(ops[i] for i in candidate)
            peak = plan_memory(reordered).peak_bytes
            if peak < best_peak:
                best, best_peak = reordered, peak
    return best


def _dependencies(ops: Sequence[OpSpec]) -> list[set[int]]:
    """Of each operator, those that must run before it."""
    after: list[set[int]] = [set() for _ in ops]
    for i, op in enumerate(ops):
        reads = {tensor.name for tensor in op.inputs}
        for j in range(i):
            earlier = ops[j]
            overwritten = op.output.name == earlier.output.name or op.output.name in {t.name for t in earlier.inputs}
            if earlier.output.name in reads or overwritten:
                after[i].add(j)
    return after


def _fewest_alive(ops: Sequence[OpSpec], after: Sequence[set[int]]) -> tuple[int, list[int]] | None:
    """(most bytes alive at once, order) of the order with the fewest; None where there are too many sets."""
    needed = [sum(1 << j for j in before) for before in after]
    alive = _Alive(ops)
    layer: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    sets = 0
    for _ in ops:
        following: dict[int, tuple[int, tuple[int, ...]]] = {}
        for done, (peak, order) in layer.items():
            for i in range(len(ops)):
                if done >> i & 1 or needed[i] & ~done:
                    continue
                reached = max(peak, alive.during(i, done))
                known = following.get(done | 1 << i)
                if known is None or (reached, (*order, i)) < known:
                    following[done | 1 << i] = reached, (*order, i)
        sets += len(following)
        if sets > _SETS:
            return None
        layer = following
    peak, order = layer[(1 << len(ops)) - 1]
    return peak, list(order)


class _Alive:
    """Bytes alive while an operator runs, from the set of those done before."""

    def __init__(self, ops: Sequence[OpSpec]) -> None:
        self._touches: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        seen: set[str] = set()
        self._inputs: set[str] = set()  # of the graph: read before anything writes them
        read: set[str] = set()
        for i, op in enumerate(ops):
            for tensor in (*op.inputs, op.output):
                self._touches[tensor.name] = self._touches.get(tensor.name, 0) | 1 << i
                self._sizes[tensor.name] = max(self._sizes.get(tensor.name, 0), aligned(tensor.nbytes))
            names = {tensor.name for tensor in op.inputs}
            self._inputs |= names - seen
            read |= names
            seen |= names | {op.output.name}
        self._outputs = set(self._touches) - read
        self._scratch = [aligned(op.scratch_bytes) for op in ops]

    def during(self, i: int, done: int) -> int:
        total = self._scratch[i]
        for name, touches in self._touches.items():
            begun = touches & done or name in self._inputs
            ends_later = touches & ~done or name in self._outputs
            if touches >> i & 1 or (begun and ends_later):
                total += self._sizes[name]
        return total


def _orders(after: Sequence[set[int]], done: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if len(done) == len(after):
        yield done
        return
    for i, before in enumerate(after):
        if i not in done and before.issubset(done):
            yield from _orders(after, (*done, i))
