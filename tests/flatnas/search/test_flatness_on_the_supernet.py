"""Whether R on a few hundred images tells R on all of them, on the shipped supernet; minutes of work."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from export.write.fold import fold_in_place  # noqa: E402
from flatnas.data.registry import load_dataset  # noqa: E402
from flatnas.nets.supernet_file import load_supernet  # noqa: E402
from flatnas.search.flatness import common_noise, flatness, gaussian_perturbations  # noqa: E402
from flatnas.space.lowering import lower  # noqa: E402
from flatnas.training.train import recalibrate  # noqa: E402
from hardware_profiles.footprint import footprint  # noqa: E402
from hardware_profiles.profile import load_profile  # noqa: E402
from pipeline.shipped import shipped_supernet  # noqa: E402

NETS, DRAWS, IMAGES, MACS = 50, 5, 500, 2e6


@pytest.mark.slow
def test_the_interval_of_500_images_covers_the_r_of_the_validation_split_in_nine_of_ten_nets() -> None:
    if not os.environ.get("PIPELINE_DATA"):
        pytest.skip("PIPELINE_DATA names no directory with CIFAR-10")
    data = load_dataset("cifar10", Path(os.environ["PIPELINE_DATA"]))
    with shipped_supernet() as path:
        supernet = load_supernet(path)
    space, profile, rng = supernet.space, load_profile("cortex-m7"), np.random.default_rng(0)
    noise, calibration = common_noise(supernet, DRAWS, 0), data.train.subset(1000).pixels_nhwc
    covered, measured = 0, 0
    while measured < NETS:
        arch = space.sample_by_size(rng)
        if footprint(lower(space, arch), profile).macs > MACS:
            continue
        net = supernet.extract(arch)
        recalibrate(net, calibration, arch.resolution)
        perturbations = {"noise": gaussian_perturbations([n.extract(arch) for n in noise], 0.05)}
        (whole,) = flatness(net, perturbations, data.val, arch.resolution, optimize=fold_in_place)
        part = data.val.subset(IMAGES, seed=measured)
        (found,) = flatness(net, perturbations, part, arch.resolution, optimize=fold_in_place)
        covered += found.low <= whole.r <= found.high
        measured += 1
    assert covered >= 0.9 * NETS
