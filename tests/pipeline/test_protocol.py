from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from flatnas.data.dataset import Dataset, Images
from pipeline.config import PRESETS, RunConfig
from pipeline.protocol import run_protocol

NOTHING = Images(np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, np.int64))
DATA = Dataset("none", ("a",), NOTHING, NOTHING, NOTHING, "0")


def config(**changes: object) -> RunConfig:
    return RunConfig.model_validate({"target": "cortex-m7", "dataset": "cifar10", **changes})


def test_the_published_protocol_has_the_published_numbers() -> None:
    protocol = run_protocol(config(protocol="paper", alpha=0.9))
    recipe = protocol.recipe(DATA)
    assert (protocol.plan.initial, protocol.plan.batch, protocol.plan.most) == (100, 8, 340)
    assert not protocol.plan.near
    assert (protocol.objective.alpha, protocol.objective.sigmas, protocol.objective.cost) == (0.9, (0.05,), "params")
    assert (recipe.epochs, recipe.rho, recipe.adaptive, recipe.learning_rate) == (6, 2.0, True, 0.1)


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_the_published_protocol_trains_the_chosen_net_as_its_candidates(preset: str) -> None:
    protocol = run_protocol(config(protocol="paper", preset=preset))
    assert (protocol.label_smoothing, protocol.finetune_images) == (0.1, None)
    ours = run_protocol(config(preset="full"))
    assert (ours.label_smoothing, ours.finetune_images) == (0.05, 50_000)


def test_ours_follows_the_options() -> None:
    protocol = run_protocol(config(sigmas=(0.02, 0.1), augment="augmix", preset="quick"))
    assert protocol.objective.sigmas == (0.02, 0.1)
    assert protocol.recipe(DATA).augmix
    assert protocol.measurement["sigmas"] == [0.02, 0.1]
    assert not run_protocol(config()).recipe(DATA).augmix


def test_the_largest_preset_measures_90_subnets_within_two_million_image_passes() -> None:
    full = PRESETS["full"]
    assert full.evaluations >= 90
    roundings = 2 * (250 + full.r_images)  # to int8 and int4, each over 250 images' ranges
    measured = full.recalibration_images + full.error_images + full.r_images * (1 + full.r_draws)
    assert full.most * (measured + roundings) <= 2_000_000
