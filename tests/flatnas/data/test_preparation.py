"""Size, shape, mirroring and groups of a user's pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flatnas.data.preparation import Preparation, classes_that_mirroring_changes, fitted, square
from flatnas.errors import DataError


def wide() -> Any:
    """8 rows of 16: the outer four columns on each side are 10, the middle ones 200."""
    picture = np.full((8, 16, 3), 10, np.uint8)
    picture[:, 4:12] = 200
    return picture


def test_area_squeezes_the_whole_picture() -> None:
    assert fitted(wide(), (4, 4), "area")[:, :, 0].tolist() == [[10, 200, 200, 10]] * 4


def test_crop_takes_the_largest_part_of_the_shape_from_the_middle() -> None:
    assert np.unique(fitted(wide(), (4, 4), "crop")) == [200]
    tall = wide().transpose(1, 0, 2)
    assert np.unique(fitted(tall, (4, 4), "crop")) == [200]
    assert fitted(wide(), (4, 8), "crop")[:, :, 0].tolist() == [[10] * 2 + [200] * 4 + [10] * 2] * 4


def test_letterbox_shows_the_whole_picture_between_mid_grey_bars() -> None:
    framed = fitted(wide(), (8, 8), "letterbox")[:, :, 0].tolist()
    assert framed == [[128] * 8] * 2 + [[10] * 2 + [200] * 4 + [10] * 2] * 4 + [[128] * 8] * 2
    line = np.zeros((1, 100, 3), np.uint8)  # a hundredth of the side still is one row
    assert (fitted(line, (8, 8), "letterbox") == 0).sum() == 8 * 3


@pytest.mark.parametrize("how", ["area", "crop", "letterbox"])
def test_a_picture_of_the_right_size_is_left_alone(how: Any) -> None:
    assert np.array_equal(fitted(wide(), (8, 16), how), wide())


def test_grey_pictures_keep_their_channel() -> None:
    grey = wide()[..., :1]
    for how in ("area", "crop", "letterbox"):
        resized = fitted(grey, (4, 4), how)
        assert np.array_equal(resized, fitted(wide(), (4, 4), how)[..., :1])


@pytest.mark.parametrize(
    ("names", "changed"),
    [
        (["left", "right", "none"], ["left", "right"]),
        (["turn_left", "turnRight", "LEFT-2"], ["turn_left", "turnRight", "LEFT-2"]),
        (["bright", "leftover", "cat"], []),
        (["0", "1", "b", "字", "ten"], ["0", "1", "b", "字"]),
        (["10", "ab"], []),
    ],
)
def test_classes_that_say_left_or_right_or_are_characters_are_not_mirrored(
    names: list[str], changed: list[str]
) -> None:
    assert classes_that_mirroring_changes(names) == changed


def test_what_can_not_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="resize must be one of area, crop, letterbox; got 'pad'"):
        Preparation(resize="pad")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="channels must be 1 or 3; got 4"):
        Preparation(channels=4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="height and width must be at least 1"):
        square(0)
    with pytest.raises(DataError, match=r"groups by 'a\(': no regular expression \(missing \), unterminated"):
        Preparation(group_by="a(")
