from __future__ import annotations

import numpy as np
import pytest

from flatnas.arch import Arch, Block, mcu_space
from hardware_profiles.ops import macs, params

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
    changed[-1] = 2  # expansion of the last stage's third block, and its depth is 1
    assert SPACE.decode(changed) == SPACE.smallest
    assert (SPACE.encode(SPACE.decode(changed)) == code).all()


def test_an_arch_of_another_space_is_not_in_this_one() -> None:
    assert Arch(32, ((Block(9, 1),), (Block(3, 2),), (Block(3, 2),))) not in SPACE
    assert Arch(48, SPACE.smallest.stages) not in SPACE


def test_the_macs_of_the_smallest_subnet_are_those_worked_by_hand() -> None:
    # 24x24 input; stage outputs 12x12x24, 6x6x40, 3x3x64; kernel 3; expansions 1, 2, 2; head 128; 10 classes.
    expected = 24 * 24 * 16 * 27
    expected += 24 * 24 * 16 * 16 + 12 * 12 * 16 * 9 + 12 * 12 * 16 * 24
    expected += 12 * 12 * 24 * 48 + 6 * 6 * 48 * 9 + 6 * 6 * 48 * 40
    expected += 6 * 6 * 40 * 80 + 3 * 3 * 80 * 9 + 3 * 3 * 80 * 64
    expected += 3 * 3 * 64 * 128 + 128 * 10
    assert sum(macs(op) for op in SPACE.lower(SPACE.smallest)) == expected


def test_the_space_stays_below_the_macs_of_resnet8() -> None:
    assert sum(macs(op) for op in SPACE.lower(SPACE.largest)) <= 12_501_632


def test_lowered_macs_and_params_equal_those_that_fvcore_counts() -> None:
    pytest.importorskip("fvcore")
    torch = pytest.importorskip("torch")
    from fvcore.nn import FlopCountAnalysis

    from export.fold import fold_batch_norm
    from flatnas.supernet import Subnet

    rng = np.random.default_rng(1)
    for arch in (SPACE.smallest, SPACE.largest, *(SPACE.sample(rng) for _ in range(4))):
        net = fold_batch_norm(Subnet(SPACE, arch))
        counter = FlopCountAnalysis(net, torch.zeros(1, 3, arch.resolution, arch.resolution))
        counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counted = counter.by_operator()
        ops = SPACE.lower(arch)
        assert sum(macs(op) for op in ops) == counted["conv"] + counted["linear"]
        assert sum(params(op) for op in ops) == sum(p.numel() for p in net.parameters())
