"""Corruptions of grey pictures: as of the picture repeated three times, where a channel is corrupted by itself."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from flatnas.corruptions import CORRUPTIONS, SEVERITIES, corrupt

Pixels = npt.NDArray[np.uint8]
NOISES = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")


def photographs(height: int, width: int) -> Pixels:
    """Nine parts of a grey photograph, shape (9, height, width, 1)."""
    from skimage.data import camera

    places = [(top, left) for top in (0, 120, 240) for left in (0, 130, 260)]
    return np.stack([camera()[top : top + height, left : left + width] for top, left in places])[..., None]


def luma(rgb: Pixels) -> Pixels:
    """By Pillow, picture by picture."""
    return np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in rgb])[..., None]


@pytest.mark.parametrize("shape_hw", [(32, 32), (64, 49), (150, 130)])
@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in NOISES])
def test_a_grey_picture_is_corrupted_as_three_equal_channels_are(name: str, shape_hw: tuple[int, int]) -> None:
    grey = photographs(*shape_hw)
    before = grey.copy()
    for severity in SEVERITIES:
        corrupted = corrupt(grey, name, severity, range(9))
        coloured = corrupt(np.repeat(grey, 3, axis=3), name, severity, range(9))
        assert corrupted.shape == grey.shape
        np.testing.assert_array_equal(corrupted, luma(coloured))
    np.testing.assert_array_equal(grey, before)


@pytest.mark.parametrize("name", NOISES)
def test_noise_on_a_grey_picture_draws_one_number_a_pixel(name: str) -> None:
    """Of a picture of a third of the width in three channels the same numbers fall on the same bytes."""
    grey = photographs(32, 96)
    folded = grey.reshape(9, 32, 32, 3)
    expected = corrupt(folded, name, 3, range(9)).reshape(grey.shape)
    np.testing.assert_array_equal(corrupt(grey, name, 3, range(9), table="cifar10-c"), expected)


def test_saturation_is_nothing_to_a_grey_picture_where_nothing_is_added_to_it() -> None:
    grey = photographs(32, 32)
    for severity in (1, 2, 3):
        np.testing.assert_array_equal(corrupt(grey, "saturate", severity, range(9)), grey)


def test_fog_and_brightness_need_no_colour() -> None:
    grey = photographs(32, 32)
    expected = np.clip(grey / 255.0 + 0.3, 0, 1) * 255
    np.testing.assert_array_equal(corrupt(grey, "brightness", 5, range(9)), expected.astype(np.uint8))


def test_a_grey_jpeg_is_near_that_of_another_library() -> None:
    """libjpeg-turbo's grey JPEG has no colour either; transforms differ by rounding, and so do few coefficients."""
    grey = photographs(32, 32)
    for picture, corrupted in zip(grey[..., 0], corrupt(grey, "jpeg_compression", 1, range(9))[..., 0], strict=True):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=80)
        assert np.abs(np.asarray(Image.open(buffer)).astype(int) - corrupted).max() <= 12
        assert (np.asarray(Image.open(buffer)) == corrupted).mean() > 0.9


def test_no_grey_pictures_give_none() -> None:
    for name in CORRUPTIONS:
        assert corrupt(np.zeros((0, 32, 32, 1), np.uint8), name, 3, []).shape == (0, 32, 32, 1)
