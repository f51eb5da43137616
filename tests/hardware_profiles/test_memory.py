from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.memory import plan_memory
from hardware_profiles.ops import OpSpec, TensorSpec


def tensor(name: str, nbytes: int) -> TensorSpec:
    return TensorSpec(name, (1, nbytes))


def op(inputs: list[TensorSpec], output: TensorSpec) -> OpSpec:
    return OpSpec("add" if len(inputs) > 1 else "activation", "OP", tuple(inputs), output)


def test_a_residual_block_keeps_its_input_alive_until_the_add() -> None:
    x, a, b, y = tensor("x", 160), tensor("a", 320), tensor("b", 160), tensor("y", 160)
    plan = plan_memory([op([x], a), op([a], b), op([x, b], y)])
    # alive: {x, a} = 480; {x, a, b} = 640; {x, b, y} = 480
    assert plan.live_bytes == (480, 640, 480)
    assert plan.peak_bytes == 640
    assert plan.peak_op == 1


def test_sizes_are_aligned_to_sixteen_bytes() -> None:
    assert plan_memory([op([tensor("x", 1)], tensor("y", 17))]).peak_bytes == 16 + 32


def test_a_plan_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one operator"):
        plan_memory([])


@st.composite
def chains(draw: st.DrawFn) -> list[OpSpec]:
    """Up to 5 operators, each reading one or two earlier tensors."""
    tensors = [tensor("t0", 16 * draw(st.integers(1, 9)))]
    ops = []
    for i in range(draw(st.integers(1, 5))):
        read = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=2, unique=True))
        tensors.append(tensor(f"t{i + 1}", 16 * draw(st.integers(1, 9))))
        ops.append(op(read, tensors[-1]))
    return ops


def lifetimes(ops: list[OpSpec]) -> dict[str, tuple[int, int, int]]:
    """(size, first, last) of each tensor, written down again from the definition."""
    sizes = {t.name: t.nbytes for o in ops for t in (*o.inputs, o.output)}
    writes = {o.output.name: i for i, o in enumerate(ops)}
    reads: dict[str, list[int]] = {}
    for i, o in enumerate(ops):
        for t in o.inputs:
            reads.setdefault(t.name, []).append(i)
    return {n: (s, writes.get(n, 0), max(reads[n]) if n in reads else len(ops) - 1) for n, s in sizes.items()}


@settings(deadline=None)
@given(chains())
def test_tensors_that_live_together_never_overlap(ops: list[OpSpec]) -> None:
    plan, lives = plan_memory(ops), lifetimes(ops)
    names = list(lives)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            (size_a, first_a, last_a), (size_b, first_b, last_b) = lives[a], lives[b]
            if first_a <= last_b and first_b <= last_a:
                assert plan.offsets[a] + size_a <= plan.offsets[b] or plan.offsets[b] + size_b <= plan.offsets[a]
    assert plan.peak_bytes == max(plan.offsets[n] + lives[n][0] for n in names)
    assert plan.peak_bytes >= max(plan.live_bytes)


@settings(deadline=None, max_examples=60)
@given(chains())
def test_the_arena_is_at_most_a_tenth_above_the_best_of_all_first_fit_orders(ops: list[OpSpec]) -> None:
    lives = lifetimes(ops)

    def first_fit(order: tuple[str, ...]) -> int:
        offsets: dict[str, int] = {}
        for name in order:
            size, first, last = lives[name]
            busy = sorted(
                (offsets[o], offsets[o] + lives[o][0]) for o in offsets if lives[o][1] <= last and first <= lives[o][2]
            )
            offset = 0
            for start, end in busy:
                if offset + size <= start:
                    break
                offset = max(offset, end)
            offsets[name] = offset
        return max(offsets[n] + lives[n][0] for n in offsets)

    best = min(first_fit(order) for order in permutations(lives))
    assert best <= plan_memory(ops).peak_bytes <= 1.1 * best
