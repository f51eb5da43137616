"""Perceptual hashes: what counts as nearly the same picture."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from flatnas.data.near_copies import LIMIT_BITS, near, perceptual_hash

Pixels = npt.NDArray[np.uint8]


def photographs() -> list[Pixels]:
    from skimage.data import astronaut, chelsea, coffee

    return [
        np.ascontiguousarray(photo[top : top + 96, left : left + 96])
        for photo in (astronaut(), chelsea(), coffee())
        for top in (0, 100, 200)
        for left in (0, 100, 200, 300)
        if photo[top : top + 96, left : left + 96].shape[:2] == (96, 96)
    ]


def hashes(pictures: list[Pixels]) -> npt.NDArray[np.uint64]:
    return np.array([perceptual_hash(picture) for picture in pictures], np.uint64)


def jpeg(picture: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def test_copies_that_were_saved_or_scaled_again_are_near_and_other_pictures_are_not() -> None:
    originals = photographs()
    assert len(originals) > 25
    for copy in (jpeg, lambda p: np.asarray(Image.fromarray(p).resize((70, 70))), lambda p: np.minimum(p, 245) + 10):
        found = dict(near(hashes([copy(p) for p in originals]), hashes(originals)))
        assert {i: others.tolist() for i, others in found.items()} == {i: [i] for i in range(len(originals))}


def test_pictures_of_one_colour_are_near_none() -> None:
    plain = hashes([np.full((40, 40, 3), value, np.uint8) for value in (0, 90, 90)])
    assert list(near(plain, plain)) == []


def test_near_are_hashes_that_differ_in_at_most_six_bits() -> None:
    some = np.array([0b1, 2**63], np.uint64)
    others = np.array([0b1111111, 0b11111111, 0, 2**63 | 0b111111], np.uint64)  # 6, 7 bits from the first; none; 6
    assert LIMIT_BITS == 6
    assert [(i, found.tolist()) for i, found in near(some, others)] == [(0, [0, 3]), (1, [3])]
