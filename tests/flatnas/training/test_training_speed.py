"""A step of the sandwich rule costs what its MACs cost in a plain network: slicing shared weights is nearly free."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flatnas.nets.depthwise import quick_depthwise  # noqa: E402
from flatnas.space.lowering import lower  # noqa: E402
from flatnas.space.spaces import mcu_space  # noqa: E402
from flatnas.training.supernet_training import new_supernet, sandwich_loss  # noqa: E402
from flatnas.training.train import cross_entropy, keep_freed_memory  # noqa: E402
from hardware_profiles.cost.ops import macs  # noqa: E402

SPACE = mcu_space(10)
STEPS = 15


def seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


@pytest.mark.benchmark
def test_the_supernet_trains_at_four_fifths_of_the_speed_that_its_macs_predict() -> None:
    keep_freed_memory()
    supernet = new_supernet(SPACE, 0).train()
    plain = supernet.extract(SPACE.largest).train()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (128, 32, 32, 3), np.uint8)
    labels = torch.from_numpy(rng.integers(0, 10, 128))
    shared, alone = sandwich_loss(supernet, 0), cross_entropy(plain, SPACE.largest.resolution, 0.0)
    of_space, of_plain = [], []
    for step in [*range(STEPS), *range(STEPS)]:  # the first time, memory comes from the system page by page
        of_space.append(seconds(lambda step=step: shared(pixels, labels, step).backward()))
        with quick_depthwise(plain):
            of_plain.append(seconds(lambda step=step: alone(pixels, labels, step).backward()))
    work = sum(_macs_of(step) for step in range(STEPS)) / sum(macs(op) for op in lower(SPACE, SPACE.largest))
    ratio = np.median(of_plain[STEPS:]) * work / sum(of_space[STEPS:])
    assert ratio >= 0.8, f"steps per second: {ratio:.2f} of what the MACs predict"


def _macs_of(step: int) -> float:
    """MACs of the three subnets of a step, which the training draws in this order."""
    rng = np.random.default_rng([0, 2, step])
    side = int(rng.choice(SPACE.resolutions))
    archs = (SPACE.largest, SPACE.smallest, SPACE.sample_by_size(rng))
    return sum(sum(macs(op) for op in lower(SPACE, arch)) * (side / arch.resolution) ** 2 for arch in archs)
