from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from flatnas.data.dataset import Dataset, Images
from flatnas.training.train import Recipe
from hardware_profiles.profile import load_profile
from pipeline.config import RunConfig
from pipeline.finetuning import Finetuning
from pipeline.layers import configured
from pipeline.runs.facts import Origin
from pipeline.runs.stage import settings_from
from pipeline.searching import Searching

MANY = Images(np.zeros((45_000, 1, 1, 3), np.uint8), np.zeros(45_000, np.int64))
DATA = Dataset("as many as CIFAR-10", ("a",), MANY, MANY, MANY, "0")
M7 = load_profile("cortex-m7")


def config(**changes: object) -> RunConfig:
    return configured({"target": "cortex-m7", "dataset": "cifar10", **changes})


def searching(**changes: object) -> Searching:
    return settings_from(Searching, Origin(config(**changes), M7, DATA).value_of)


def finetuning(**changes: object) -> Finetuning:
    return settings_from(Finetuning, Origin(config(**changes), M7, DATA).value_of)


def test_the_published_protocol_has_the_published_numbers() -> None:
    search = searching(protocol="paper", alpha=0.9)
    objective, recipe = search.judging.merit, finetuning(protocol="paper").recipe(DATA)
    assert (search.plan.initial, search.plan.batch, search.plan.most) == (100, 8, 340)
    assert not search.plan.near
    assert (objective.alpha, objective.sigmas, objective.cost) == (0.9, (0.05,), "params")
    assert (recipe.epochs, recipe.rho, recipe.adaptive, recipe.learning_rate) == (6, 2.0, True, 0.1)


def test_the_published_counts_are_settings_like_any_other() -> None:
    search = searching(protocol="paper", evaluations=12, initial=4, most=12, candidate_epochs=1)
    assert (search.plan.initial, search.plan.most, search.plan.population) == (4, 12, 40)
    assert search.measurement != searching(protocol="paper").measurement
    assert finetuning(protocol="paper", finetune_epochs=2).recipe(DATA).epochs == 2


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_the_published_protocol_trains_the_chosen_net_as_its_candidates(preset: str) -> None:
    published = finetuning(protocol="paper", preset=preset)
    assert (published.label_smoothing, published.finetune_images) == (0.1, 1_000_000)
    ours = finetuning(preset="full")
    assert (ours.label_smoothing, ours.finetune_images) == (0.05, 50_000)


def test_ours_follows_the_options() -> None:
    search = searching(sigmas=(0.02, 0.1), preset="quick")
    assert search.judging.merit.sigmas == (0.02, 0.1)
    assert search.measurement["sigmas"] == [0.02, 0.1]
    assert finetuning(augment="augmix").recipe(DATA).augmix
    assert not finetuning().recipe(DATA).augmix
    by_sgd = finetuning(optimizer="sgd", finetune_epochs=3, learning_rate=0.02).recipe(DATA)
    assert (by_sgd.rho, by_sgd.epochs, by_sgd.learning_rate) == (0.0, 3, 0.02)


def test_fewer_pictures_than_cifar10_has_are_seen_as_often_in_all_by_adamw() -> None:
    few = Images(np.zeros((9000, 1, 1, 3), np.uint8), np.zeros(9000, np.int64))
    data = Dataset("some", ("a",), few, few, few, "0")
    standard = finetuning(preset="standard").recipe(data)
    assert (standard.optimizer, standard.rho, standard.sam_after) == ("adamw", 0.05, 0.75)
    assert (standard.epochs, standard.learning_rate) == (40, pytest.approx(5e-3))  # 8 x 45,000 of 9,000 pictures
    assert finetuning(preset="quick").recipe(data).epochs == 2  # 20,000 of 9,000
    asked = finetuning(optimizer="sgd", finetune_epochs=1, learning_rate=0.02).recipe(data)
    assert (asked.rho, asked.epochs, asked.learning_rate) == (0.0, 5, pytest.approx(1e-3))  # a 20th of SGD's
    assert finetuning(finetune_epochs=0).recipe(data).epochs == 0


def test_cifar10_is_trained_as_it_was_measured() -> None:
    recipe = finetuning(preset="standard").recipe(DATA)
    assert recipe == Recipe(8, 0.1, 0, batch_size=128, weight_decay=1e-4, rho=0.05, sam_after=0.75)
    assert finetuning(protocol="paper").recipe(DATA).epochs == 6


def test_the_largest_preset_measures_90_subnets_within_two_million_image_passes() -> None:
    full = config(preset="full").search
    assert full.evaluations >= 90
    roundings = 2 * (250 + full.r_images)  # to int8 and int4, each over 250 images' ranges
    measured = full.recalibration_images + full.error_images + full.r_images * (1 + full.r_draws)
    assert full.most * (measured + roundings) <= 2_000_000
