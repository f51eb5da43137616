from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from flatnas.data.dataset import Dataset, Images
from flatnas.training.fitting import class_weights, fitted_batch, fitted_recipe


def data_of(n: int) -> Dataset:
    some = Images(np.zeros((n, 1, 1, 3), np.uint8), np.arange(n) % 2)
    return Dataset("some", ("a", "b"), some, some, some, "0", mirrors=False, shift=3)


@pytest.mark.parametrize(("images", "batch"), [(1, 32), (126, 32), (2896, 32), (2897, 64), (6000, 128), (90_000, 128)])
def test_the_batch_is_the_power_of_two_nearest_a_64th_of_the_pictures_from_32_to_128(images: int, batch: int) -> None:
    # 2^5.5 * 64 = 2896.3 lies halfway between 32 and 64, 2^6.5 * 64 = 5792.6 between 64 and 128
    assert fitted_batch(images) == batch


def test_few_pictures_get_as_many_steps_as_a_preset_pays_for_up_to_100_epochs() -> None:
    assert fitted_recipe(data_of(3000), 360_000, seed=0).epochs == 100  # not 120
    assert fitted_recipe(data_of(6000), 360_000, seed=0).epochs == 60
    assert fitted_recipe(data_of(126), 20_000, seed=0).epochs == 100
    assert fitted_recipe(data_of(6000), 2000, seed=0).epochs == 1
    assert fitted_recipe(data_of(6000), 0, seed=0).epochs == 0


@pytest.mark.parametrize(("images", "rate"), [(100, 1.5e-3), (900, 3e-3), (2500, 5e-3), (30_000, 5e-3)])
def test_the_rate_grows_with_the_root_of_the_number_of_pictures(images: int, rate: float) -> None:
    assert fitted_recipe(data_of(images), 1000, seed=7).learning_rate == pytest.approx(rate)


def test_a_tenth_of_sgds_rate_is_a_tenth_of_adamws() -> None:
    assert fitted_recipe(data_of(900), 1000, seed=7, rate=0.01).learning_rate == pytest.approx(3e-4)


def test_what_the_data_allow_and_what_was_asked_for_is_in_the_recipe() -> None:
    recipe = fitted_recipe(data_of(200), 1000, seed=7, rho=0.05, sam_after=0.75, adaptive=True, augmix=True)
    assert (recipe.seed, recipe.mirror, recipe.shift) == (7, False, 3)
    assert (recipe.optimizer, recipe.rho, recipe.sam_after, recipe.adaptive, recipe.augmix) == (
        "adamw", 0.05, 0.75, True, True
    )  # fmt: skip


def test_a_class_weighs_inversely_to_its_pictures_where_classes_differ() -> None:
    # 6 of class 0, 2 of class 1: 8 / (2 * 6) and 8 / (2 * 2)
    labels = np.array([0, 0, 0, 1, 0, 0, 1, 0])
    weights = class_weights(labels, 2)
    assert weights is not None
    assert weights.dtype == np.float32
    assert weights.tolist() == pytest.approx([8 / 12, 2])
    assert class_weights(np.array([0, 0, 0, 1, 1]), 2) is None  # 3 to 2 is no imbalance
    assert class_weights(np.arange(45_000) % 10, 10) is None


def test_a_class_without_pictures_has_a_weight_like_one_with_one() -> None:
    weights = class_weights(np.array([0, 0, 0, 0]), 3)
    assert weights is not None
    assert weights.tolist() == pytest.approx([1 / 3, 4 / 3, 4 / 3])
