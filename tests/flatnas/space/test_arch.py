from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flatnas.space.arch import Arch, Block
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space, mobile_space
from hardware_profiles.cost.memory import plan_memory
from hardware_profiles.cost.ops import macs, params
from hardware_profiles.footprint import excess, footprint
from hardware_profiles.profile import load_profile, profile_names

SPACE = mcu_space(10)


def test_every_subnet_survives_encoding_and_json() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        arch = SPACE.sample(rng)
        assert SPACE.decode(SPACE.encode(arch)) == arch
        assert Arch.from_json(arch.to_json()) == arch
        assert arch in SPACE


def test_genes_of_blocks_that_depth_cuts_off_do_not_matter() -> None:
    code = SPACE.encode(SPACE.smallest)
    changed = code.copy()
    changed[SPACE.gene_names.index("stage3.2.expand")] = 2  # the depth of the smallest is 1
    assert SPACE.decode(changed) == SPACE.smallest
    assert (SPACE.encode(SPACE.decode(changed)) == code).all()


def test_an_arch_of_another_space_is_not_in_this_one() -> None:
    smallest = SPACE.smallest
    assert replace(smallest, resolution=48) not in SPACE
    assert replace(smallest, head=100) not in SPACE
    foreign = replace(smallest.stages[0], blocks=(Block(9, 1),))
    assert replace(smallest, stages=(foreign, *smallest.stages[1:])) not in SPACE


def test_the_macs_of_the_smallest_subnet_are_those_worked_by_hand() -> None:
    # 16x16 input, stem 8; stages 8 at 16x16, 16 at 8x8, 24 at 4x4, 32 at 2x2; kernel 3; expansions 1, 2, 2, 2; head 64
    expected = 16 * 16 * 8 * 27
    expected += 16 * 16 * (8 * 9 + 8 * 8)
    expected += 16 * 16 * 8 * 16 + 8 * 8 * (16 * 9 + 16 * 16)
    expected += 8 * 8 * 16 * 32 + 4 * 4 * (32 * 9 + 32 * 24)
    expected += 4 * 4 * 24 * 48 + 2 * 2 * (48 * 9 + 48 * 32)
    expected += 2 * 2 * 32 * 64 + 64 * 10
    assert sum(macs(op) for op in lower(SPACE, SPACE.smallest)) == expected


def test_the_mcu_space_spans_what_microcontrollers_can_hold() -> None:
    smallest, largest = lower(SPACE, SPACE.smallest), lower(SPACE, SPACE.largest)
    assert sum(macs(op) for op in smallest) < 400_000
    assert sum(macs(op) for op in largest) > 30_000_000
    assert sum(op.weights for op in smallest) < 10_000
    assert sum(op.weights for op in largest) > 500_000
    channels = {op.output.shape[-1] for op in (*smallest, *largest)} - {10}
    assert not [c for c in channels if c % 8]


def test_the_mcu_space_holds_nets_that_spend_neither_memory_nor_channels() -> None:
    no_expansion = [op for op in lower(SPACE, SPACE.smallest) if op.output.name.startswith("stage0.0.expand")]
    assert not no_expansion
    assert plan_memory(lower(SPACE, replace(SPACE.smallest, resolution=32))).peak_bytes < 30_000


@pytest.mark.parametrize("resolution", [16, 28, 32, 48, 64, 96, 128])
def test_resolutions_come_from_the_data(resolution: int) -> None:
    space = mcu_space(4, resolution)
    assert space.resolutions[-1] == resolution
    assert list(space.resolutions) == sorted(set(space.resolutions))
    assert sum(macs(op) for op in lower(space, space.smallest)) < 1_500_000


@pytest.mark.parametrize("resolution", [8, 129])
def test_a_resolution_out_of_range_is_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match="side must be 16 to 128 pixels"):
        mcu_space(4, resolution)


def test_the_mobile_space_has_the_geometry_of_ofa() -> None:
    space = mobile_space(1000)
    assert [stage.channels for stage in space.stages] == [(16,), (24,), (40,), (80,), (112,), (160,)]
    assert {stage.depths for stage in space.stages[1:]} == {(2, 3, 4)}
    assert {stage.expands for stage in space.stages[1:]} == {(3, 4, 6)}
    assert [stage.squeeze_excites[0] for stage in space.stages] == [False, False, True, False, True, True]
    assert sum(params(op) for op in lower(space, space.largest)) == pytest.approx(7.65e6, rel=0.01)


def test_lowered_macs_and_params_equal_those_that_fvcore_counts() -> None:
    pytest.importorskip("fvcore")
    torch = pytest.importorskip("torch")
    from fvcore.nn import FlopCountAnalysis

    from export.write.fold import fold_batch_norm
    from flatnas.nets.supernet import Subnet

    rng = np.random.default_rng(1)
    mobile = mobile_space(10, 64)
    spaces = [(SPACE, SPACE.smallest), (SPACE, SPACE.largest), (mobile, mobile.smallest)]
    for space, arch in (*spaces, *((SPACE, SPACE.sample(rng)) for _ in range(4))):
        net = fold_batch_norm(Subnet(space, arch))
        counter = FlopCountAnalysis(net, torch.zeros(1, 3, arch.resolution, arch.resolution))
        counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counted = counter.by_operator()
        ops = lower(space, arch)
        assert sum(macs(op) for op in ops) == counted["conv"] + counted["linear"]
        zeros = space.mix_channels  # the biases that int8 files write and the mixing layer does not have
        assert sum(params(op) for op in ops) == sum(p.numel() for p in net.parameters()) + zeros


def test_the_latency_budget_of_a_raspberry_pi_cuts_through_the_mobile_space() -> None:
    profile, space, rng = load_profile("raspberry-pi-4"), mobile_space(10), np.random.default_rng(0)
    over = [excess(footprint(lower(space, space.sample_by_size(rng)), profile), profile.budget) for _ in range(60)]
    assert 0.2 < np.mean([e["latency_ms"] > 0 for e in over]) < 0.8
    assert sum(e["latency_ms"] > 0 and sum(v > 0 for v in e.values()) == 1 for e in over) >= 6  # it alone decides
    assert max(excess(footprint(lower(space, space.smallest), profile), profile.budget).values()) <= 0
    assert profile.sources["budget.latency_ms"]


@pytest.mark.parametrize("name", [name for name in profile_names() if load_profile(name).kind == "mcu"])
def test_every_microcontroller_cuts_through_the_space(name: str) -> None:
    profile = load_profile(name)
    assert max(excess(footprint(lower(SPACE, SPACE.smallest), profile), profile.budget).values()) <= 0
    assert max(excess(footprint(lower(SPACE, SPACE.largest), profile), profile.budget).values()) > 0
