from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image, ImageOps

from flatnas.training import augmix as module
from flatnas.training.augmix import augmix

RNG = np.random.default_rng(0)
BATCH = np.clip(RNG.normal(128, 50, (32, 32, 32, 3)), 0, 255).astype(np.uint8)


def test_equalize_is_pillows() -> None:
    ours = module._equalize(BATCH, np.zeros(32), RNG)
    theirs = np.stack([np.asarray(ImageOps.equalize(Image.fromarray(image))) for image in BATCH])
    assert (ours == theirs).all()


def test_autocontrast_is_pillows_to_a_rounding() -> None:
    ours = module._autocontrast(BATCH, np.zeros(32), RNG).astype(int)
    theirs = np.stack([np.asarray(ImageOps.autocontrast(Image.fromarray(image))) for image in BATCH])
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize(("level", "bits"), [(0.1, 4), (0.25, 3)])
def test_posterize_is_pillows(level: float, bits: int) -> None:
    ours = module._posterize(BATCH, np.full(32, level), RNG)
    assert (ours == np.stack([np.asarray(ImageOps.posterize(Image.fromarray(i), bits)) for i in BATCH])).all()


def test_solarize_is_pillows() -> None:
    ours = module._solarize(BATCH, np.full(32, 0.25), RNG)
    assert (ours == np.stack([np.asarray(ImageOps.solarize(Image.fromarray(i), 192)) for i in BATCH])).all()


def test_geometry_moves_what_it_says() -> None:
    dot = np.zeros((1, 33, 33, 3), np.uint8)
    dot[:, 16, 26] = 255
    moved = module._translate_x(dot, np.array([0.3]), np.random.default_rng(0))  # 3 pixels either way
    assert np.flatnonzero(moved[0, 16, :, 0]).tolist() in ([23], [29])
    turned = module._rotate(dot, np.array([0.3]), np.random.default_rng(0))  # 9 degrees: 10 * sin(9) = 1.6 pixels
    row = (turned[0, :, :, 0].sum(1) * np.arange(33)).sum() / turned[0, :, :, 0].sum()
    assert abs(abs(row - 16) - 1.6) < 0.2
    sheared = module._shear_y(dot, np.array([0.3]), np.random.default_rng(0))  # 0.09 * 26 = 2.3 pixels
    row = (sheared[0, :, :, 0].sum(1) * np.arange(33)).sum() / sheared[0, :, :, 0].sum()
    assert abs(abs(row - 16) - 2.3) < 0.2


def test_a_seed_gives_the_same_pictures_and_most_are_changed() -> None:
    once, again = augmix(BATCH, np.random.default_rng(1)), augmix(BATCH, np.random.default_rng(1))
    assert (once == again).all()
    assert (augmix(BATCH, np.random.default_rng(2)) != once).any()
    assert once.dtype == np.uint8
    assert np.abs(once.astype(int) - BATCH).mean((1, 2, 3)).min() > 0


def test_every_operation_is_drawn() -> None:
    drawn = set()
    original = module._OPERATIONS

    def noting(index: int):  # type: ignore[no-untyped-def]
        def operation(x, level, rng):  # type: ignore[no-untyped-def]
            drawn.add(index)
            return original[index](x, level, rng)

        return operation

    module._OPERATIONS = tuple(noting(i) for i in range(len(original)))
    try:
        augmix(BATCH, np.random.default_rng(0))
    finally:
        module._OPERATIONS = original
    assert drawn == set(range(9))


@pytest.mark.benchmark
def test_a_batch_costs_little_beside_a_training_step() -> None:
    """A plain step of 128 images takes some 200 ms on two cores for a 7 M MAC net; 1.3 times allows for 60 ms."""
    batch = np.repeat(BATCH, 4, 0)
    augmix(batch, np.random.default_rng(0))
    seconds = []
    for seed in range(5):
        began = time.process_time()
        augmix(batch, np.random.default_rng(seed))
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.06
