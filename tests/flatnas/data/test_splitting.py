"""Which part a picture is in when pictures come in groups."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatnas.data.listing import Part, PictureFile
from flatnas.data.reading import ReadPicture
from flatnas.data.splitting import Split, split, units


def picture(label: int, content: str, group: str | None = None, part: Part | None = None) -> ReadPicture:
    file = PictureFile(Path(content), label, part, group)
    pixels = np.zeros((1, 1, 3), np.uint8)
    return ReadPicture(file, pixels, hashlib.sha256(content.encode()).hexdigest(), 0, (1, 1), False)


def videos(sizes: list[int], label: int, name: str) -> list[ReadPicture]:
    return [picture(label, f"{name}{v} {i}", f"{name}{v}") for v, size in enumerate(sizes) for i in range(size)]


def counts(pictures: list[ReadPicture], found: Split, label: int) -> list[int]:
    """Pictures of a class in training, validation and test."""
    its = [part for picture, part in zip(pictures, found.parts, strict=True) if picture.file.label == label]
    return [its.count("train"), its.count("val"), its.count("test")]


def test_groups_stay_together_and_shares_are_met_as_nearly_as_they_can_be() -> None:
    pictures = videos([5] * 20, 0, "cat") + videos([10, 10, 10, 10, 30, 30], 1, "dog")
    found = split(pictures, ["cat", "dog"])
    assert found.faults == ()
    parts: dict[str | None, set[str]] = defaultdict(set)
    for one, part in zip(pictures, found.parts, strict=True):
        parts[one.file.group].add(part)
    assert {len(its) for its in parts.values()} == {1}
    assert counts(pictures, found, 0) == [70, 15, 15]
    assert sorted(counts(pictures, found, 1)) == [10, 20, 70]  # 15 can't be made of tens and thirties


def test_three_groups_are_enough_for_three_parts() -> None:
    pictures = videos([1, 50, 7], 0, "cat") + videos([3, 3, 3], 1, "dog")
    found = split(pictures, ["cat", "dog"])
    assert found.faults == ()
    assert counts(pictures, found, 0)[0] == 50
    assert all(counts(pictures, found, 0) + counts(pictures, found, 1))


def test_too_few_groups_are_named() -> None:
    found = split(videos([9, 9], 0, "cat") + videos([9] * 5, 1, "dog"), ["cat", "dog"])
    assert found.faults == (
        "class 'cat' has 2 groups (cat0, cat1), and 3 parts need one each; add pictures of other groups, or group them "
        "by something else",
    )


def test_a_group_may_lie_in_several_classes() -> None:
    pictures = [picture(i % 2, f"{v} {i}", f"video{v}") for v in range(20) for i in range(10)]
    found = split(pictures, ["cat", "dog"])
    assert counts(pictures, found, 0) == counts(pictures, found, 1) == [70, 15, 15]


def test_groups_that_hold_copies_of_one_picture_stay_together() -> None:
    pictures = [*videos([4] * 9, 0, "cat"), picture(0, "cat3 0", "cat7"), picture(0, "cat7 1", "cat5")]
    assert len(set(units(pictures))) == 7
    parts = split(pictures, ["cat"]).parts
    joined = {part for one, part in zip(pictures, parts, strict=True) if one.file.group in {"cat3", "cat5", "cat7"}}
    assert len(joined) == 1


def test_given_parts_stay_and_only_validation_is_taken_from_training() -> None:
    pictures = [picture(i % 2, f"a{i}", f"g{i // 10}", "train") for i in range(200)]
    pictures += [picture(i % 2, f"b{i}", "g3", "test") for i in range(20)]
    found = split(pictures, ["cat", "dog"])
    assert counts(pictures, found, 0) == counts(pictures, found, 1) == [85, 15, 10]
    pictures += [picture(i % 2, f"c{i}", "g99", "val") for i in range(4)]
    found = split(pictures, ["cat", "dog"])
    assert list(found.parts) == [one.file.part for one in pictures]


@given(st.lists(st.lists(st.integers(1, 30), min_size=3, max_size=12), min_size=2, max_size=4), st.randoms())
def test_no_class_lacks_a_part_whatever_the_sizes_and_the_order(sizes: list[list[int]], random: object) -> None:
    pictures = [one for label, its in enumerate(sizes) for one in videos(its, label, f"class{label}-")]
    names = [str(label) for label in range(len(sizes))]
    found = split(pictures, names)
    assert found.faults == ()
    assert all(all(counts(pictures, found, label)) for label in range(len(sizes)))
    shuffled = list(zip(pictures, found.parts, strict=True))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = split([one for one, _ in shuffled], names)
    assert again.parts == tuple(part for _, part in shuffled)


def test_without_groups_the_first_of_the_hashes_are_the_test_part() -> None:
    pictures = [picture(0, str(i)) for i in range(20)]
    order = sorted(range(20), key=lambda i: pictures[i].sha256)
    found = split(pictures, ["cat"])
    assert [found.parts[i] for i in order] == ["test"] * 3 + ["val"] * 3 + ["train"] * 14


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_without_a_part_is_named(count: int) -> None:
    pictures = [picture(0, f"a{i}") for i in range(9)] + [picture(1, f"b{i}") for i in range(count)]
    (fault,) = split(pictures, ["cat", "dog"]).faults
    assert fault.startswith("class 'dog' has no picture left for the training part; add different ones (")
