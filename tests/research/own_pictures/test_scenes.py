from __future__ import annotations

import numpy as np

from research.own_pictures import scenes
from research.own_pictures.packages import Emoji


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_backgrounds_of_test_pictures_share_no_pixel_with_others() -> None:
    photograph = np.zeros((60, 100, 3), np.uint8)
    photograph[:, 70:] = 255
    for seed in range(20):
        draws = np.random.default_rng(seed)
        assert scenes.background([photograph], 16, draws, test=False).max() == 0
        assert scenes.background([photograph], 16, draws, test=True).min() == 255


def test_an_emoji_covers_40_to_75_percent_of_the_side_and_what_is_transparent_shows_the_ground() -> None:
    ground = np.full((96, 96, 3), 50, np.uint8)
    clear = Emoji("clear", "", "", np.full((64, 64, 4), (255, 255, 255, 0), np.uint8))
    assert np.array_equal(scenes.pasted(clear, ground, rng()), ground)
    solid = Emoji("solid", "", "", np.full((64, 64, 4), (255, 0, 0, 255), np.uint8))
    for seed in range(20):
        picture = scenes.pasted(solid, ground, np.random.default_rng(seed))
        covered = (picture[..., 2] < 25).mean()  # at least half red
        assert 0.8 * 0.4**2 < covered < 0.75**2 + 0.02  # a turned corner may stick out


def test_a_scratch_is_what_two_surfaces_of_one_draw_differ_in() -> None:
    good, scratched = (scenes.surface(64, rng(), scratched=s).astype(int).mean(2) for s in (False, True))
    far = np.abs(good - scratched) > 25
    assert 10 < far.sum() < 0.1 * 64 * 64  # a thin line
