from __future__ import annotations

import time
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.cost.memory import plan_memory
from hardware_profiles.cost.ops import OpSpec, TensorSpec


def net(*lines: str, sizes: dict[str, int]) -> list[OpSpec]:
    """Operators from lines such as `a b -> c`, tensors of the given bytes."""
    ops = []
    for line in lines:
        read, written = line.split(" -> ")
        inputs = tuple(TensorSpec(name, (1, sizes[name])) for name in read.split())
        ops.append(OpSpec("add", "ADD", inputs, TensorSpec(written, (1, sizes[written]))))
    return ops


def lifetimes(ops: list[OpSpec]) -> dict[str, tuple[int, int, int]]:
    """(first operator, last operator, bytes) of each tensor, from the definition and not from the planner."""
    tensors = {t.name: t.nbytes for op in ops for t in (*op.inputs, op.output)}
    alive = {}
    for name, nbytes in tensors.items():
        writes = [i for i, op in enumerate(ops) if op.output.name == name]
        reads = [i for i, op in enumerate(ops) if name in [t.name for t in op.inputs]]
        alive[name] = (writes[0] if writes else 0, reads[-1] if reads else len(ops) - 1, nbytes)
    return alive


@st.composite
def networks(draw: st.DrawFn) -> list[OpSpec]:
    sizes = [draw(st.integers(1, 200))]
    ops: list[OpSpec] = []
    for i in range(draw(st.integers(1, 12))):
        read = draw(st.lists(st.integers(0, i), min_size=1, max_size=3, unique=True))
        sizes.append(draw(st.integers(1, 200)))
        inputs = tuple(TensorSpec(f"t{j}", (1, sizes[j])) for j in read)
        ops.append(OpSpec("concat", "CONCATENATION", inputs, TensorSpec(f"t{i + 1}", (1, sizes[-1]))))
    return ops


@settings(max_examples=300, deadline=None)
@given(networks())
def test_no_two_tensors_alive_together_overlap(ops: list[OpSpec]) -> None:
    plan, alive = plan_memory(ops), lifetimes(ops)
    assert set(plan.offsets) == set(alive)
    for (a, (first_a, last_a, bytes_a)), (b, (first_b, last_b, bytes_b)) in combinations(alive.items(), 2):
        if first_a <= last_b and first_b <= last_a:
            assert plan.offsets[a] + bytes_a <= plan.offsets[b] or plan.offsets[b] + bytes_b <= plan.offsets[a], (a, b)


@settings(max_examples=300, deadline=None)
@given(networks())
def test_the_arena_holds_every_tensor_and_is_at_least_what_is_alive_at_once(ops: list[OpSpec]) -> None:
    plan, alive = plan_memory(ops), lifetimes(ops)
    aligned = {name: -(-nbytes // 16) * 16 for name, (_, _, nbytes) in alive.items()}
    live = [sum(aligned[n] for n, (first, last, _) in alive.items() if first <= i <= last) for i in range(len(ops))]
    assert plan.live_bytes == tuple(live)
    assert plan.peak_bytes == max(plan.offsets[name] + aligned[name] for name in alive)
    assert max(live) <= plan.peak_bytes <= sum(aligned.values())
    assert all(offset % 16 == 0 for offset in plan.offsets.values())


def test_a_chain_needs_its_largest_neighbours() -> None:
    # image 32 + a 64 = 96; a 64 + b 48 = 112; b 48 + c 16 = 64: the second operator sets the peak.
    plan = plan_memory(net("image -> a", "a -> b", "b -> c", sizes={"image": 32, "a": 64, "b": 48, "c": 16}))
    assert plan.live_bytes == (96, 112, 64)
    assert plan.peak_bytes == 112
    assert plan.peak_op == 1


def test_a_residual_block_keeps_its_input_beside_both_convolutions() -> None:
    # ResNet8's first stage: x, conv1 and conv2 of 16,384 bytes are alive together in the ADD and in conv2, so the arena
    # is 3 x 16,384 = 49,152; TFLite Micro's allocator reports a head of 49,152 bytes for the whole net.
    size = 32 * 32 * 16
    ops = net(
        "image -> x",
        "x -> conv1",
        "conv1 -> conv2",
        "x conv2 -> sum",
        sizes={"image": 3072, "x": size, "conv1": size, "conv2": size, "sum": size},
    )
    plan = plan_memory(ops)
    assert plan.live_bytes == (3072 + size, 2 * size, 3 * size, 3 * size)
    assert plan.peak_bytes == 49_152
    assert plan.peak_op == 2


def test_tensors_are_aligned_to_16_bytes() -> None:
    plan = plan_memory(net("a -> b", sizes={"a": 1, "b": 17}))
    assert plan.peak_bytes == 16 + 32


def test_a_tensor_that_no_operator_reads_is_an_output_and_stays_to_the_end() -> None:
    # early (64) is an output of the graph, so it is alive beside b and c (32 each): 64 + 32 + 32.
    plan = plan_memory(net("a -> early", "a -> b", "b -> c", sizes={"a": 16, "early": 64, "b": 32, "c": 32}))
    assert plan.live_bytes[2] == 128


def test_a_second_graph_input_is_alive_from_the_start() -> None:
    # late (160) is filled before the first operator runs: 16 + 16 + 160.
    plan = plan_memory(net("a -> b", "b late -> c", sizes={"a": 16, "b": 16, "late": 160, "c": 16}))
    assert plan.live_bytes[0] == 192


def test_no_operator_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one operator"):
        plan_memory([])


@pytest.mark.benchmark
def test_planning_a_chain_of_40_operators_takes_less_than_half_a_millisecond() -> None:
    names = [f"t{i}" for i in range(41)]
    ops = net(
        *(f"{a} -> {b}" for a, b in pairwise(names)),
        sizes={n: 16 * (1 + i % 7) for i, n in enumerate(names)},
    )

    def seconds() -> float:
        start = time.perf_counter()
        for _ in range(20):
            plan_memory(ops)
        return (time.perf_counter() - start) / 20

    assert min(seconds() for _ in range(10)) < 0.5e-3  # the best of ten: other work on the machine is not the planner's
