"""A folder of pictures as a data set: how it is split, ordered, read and resized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flatnas.data.dataset import Images
from flatnas.data.preparation import Preparation, square
from flatnas.data.registry import load_dataset
from flatnas.errors import DataError


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32)) -> Image.Image:
    return Image.new("RGB", size, colour)


def write_classes(folder: Path, counts: dict[str, int], first: int = 0) -> Path:
    """Plain pictures, all different: class c's picture i is (first + i, c, 0)."""
    for c, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture((first + i, 10 * c, 0)).save(folder / name / f"{i:03}.png")
    return folder


def colours(images: Images) -> set[tuple[int, ...]]:
    return {tuple(p) for p in images.pixels_nhwc[:, 16, 16].tolist()}


def test_a_folder_is_split_70_15_15_within_each_class(tmp_path: Path) -> None:
    data = load_dataset(str(write_classes(tmp_path / "pets", {"dog": 40, "cat": 100})))
    assert data.class_names == ("cat", "dog")
    assert np.bincount(data.train.labels).tolist() == [70, 28]
    assert np.bincount(data.val.labels).tolist() == [15, 6]
    assert np.bincount(data.test.labels).tolist() == [15, 6]
    assert colours(data.train) | colours(data.val) | colours(data.test) == {
        *((i, 10, 0) for i in range(100)),
        *((i, 0, 0) for i in range(40)),
    }
    assert [int(p[16, 16, 1]) == 10 for p in data.test.pixels_nhwc] == (data.test.labels == 0).tolist()


def test_any_stretch_of_a_folder_holds_all_classes(tmp_path: Path) -> None:
    """Else batch norms would be calibrated one class at a time: 55 % instead of 99 % on classes told by brightness."""
    data = load_dataset(str(write_classes(tmp_path, {"cat": 100, "dog": 100})))
    for start in range(0, len(data.train) - 20, 20):
        assert set(data.train.labels[start : start + 20].tolist()) == {0, 1}
    assert set(data.train.subset(60).labels[:20].tolist()) == {0, 1}


def test_names_of_files_do_not_decide_the_split(tmp_path: Path) -> None:
    before = load_dataset(str(write_classes(tmp_path / "a", {"cat": 20, "dog": 20})))
    folder = write_classes(tmp_path / "b", {"cat": 20, "dog": 20})
    for path in sorted(folder.rglob("*.png")):
        path.rename(path.with_name(f"x{999 - int(path.stem)}.png"))
    after = load_dataset(str(folder))
    assert colours(after.val) == colours(before.val)
    assert colours(after.test) == colours(before.test)
    assert after.content_sha256 == before.content_sha256


def test_copies_of_a_picture_stay_on_one_side_whatever_their_name_format_or_class(tmp_path: Path) -> None:
    folder = write_classes(tmp_path, {"cat": 20, "dog": 20})
    for path in sorted((folder / "cat").glob("*.png")):
        with Image.open(path) as image:
            image.save(path.with_name(f"copy of {path.stem}.bmp"))
            image.save(folder / "dog" / f"mislabelled {path.name}")
    data = load_dataset(str(folder))
    train, val, test = colours(data.train), colours(data.val), colours(data.test)
    assert train.isdisjoint(val)
    assert test.isdisjoint(train | val)
    assert len(data.train) + len(data.val) + len(data.test) == 80
    assert len(train | val | test) == 40


def test_train_and_test_folders_are_kept_and_validation_comes_from_train(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"cat": 20, "dog": 20})
    write_classes(tmp_path / "test", {"cat": 3, "dog": 2}, first=200)
    data = load_dataset(str(tmp_path))
    assert colours(data.test) == {(200, 0, 0), (201, 0, 0), (202, 0, 0), (200, 10, 0), (201, 10, 0)}
    assert np.bincount(data.val.labels).tolist() == [3, 3]
    assert np.bincount(data.train.labels).tolist() == [17, 17]


def test_a_test_picture_that_is_in_train_too_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_classes(tmp_path / "train", {"cat": 20, "dog": 20})
    write_classes(tmp_path / "test", {"cat": 3, "dog": 3}, first=19)
    load_dataset(str(tmp_path))
    assert "2 of 6 test pictures are in train/, too" in caplog.text


def corner_colours(path: Path, image: Image.Image, **options: Any) -> list[list[int]]:
    """Top left, top right, bottom left, bottom right of a picture as the data set holds it."""
    folder = write_classes(path.parent / "set" / "train", {"cat": 3, "dog": 3}).parent
    for name in ("cat", "dog"):
        (folder / "test" / name).mkdir(parents=True)
        image.save(folder / "test" / name / path.name, **options)
    pixels = load_dataset(str(folder)).test.pixels_nhwc[0]
    return [pixels[y, x].tolist() for y, x in ((0, 0), (0, 31), (31, 0), (31, 31))]


def test_a_photo_is_turned_upright_by_its_exif_orientation(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 32, 32))  # left half white
    exif = Image.Exif()
    exif[0x112] = 6  # to be shown turned a quarter clockwise: what is left comes to the top
    assert corner_colours(tmp_path / "a.png", image, exif=exif) == [[255] * 3, [255] * 3, [0] * 3, [0] * 3]


def test_the_first_frame_of_a_gif_counts(tmp_path: Path) -> None:
    frames = {"save_all": True, "append_images": [picture((0, 0, 255))]}
    assert corner_colours(tmp_path / "a.gif", picture((255, 0, 0)), **frames) == [[255, 0, 0]] * 4


@pytest.mark.parametrize(
    ("name", "mode", "value", "rgb"),
    [
        ("grey.png", "L", 90, [90, 90, 90]),
        ("sixteen-bit.png", "I;16", 40_000, [156, 156, 156]),  # 40,000 // 256
        ("alpha.webp", "RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("palette.bmp", "P", 0, [0, 0, 0]),
        ("upper.PNG", "1", 1, [255, 255, 255]),
    ],
)
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, name: str, mode: str, value: int, rgb: list[int]) -> None:
    lossless = {"lossless": True} if name.endswith("webp") else {}
    assert corner_colours(tmp_path / name, Image.new(mode, (40, 40), value), **lossless) == [rgb] * 4


def test_shrinking_averages_instead_of_skipping_pixels(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200  # skipping every other column would give 0 or 200
    assert corner_colours(tmp_path / "a.png", Image.fromarray(stripes)) == [[100, 100, 100]] * 4


def test_hidden_files_and_other_files_are_no_pictures(tmp_path: Path) -> None:
    folder = write_classes(tmp_path, {"cat": 10, "dog": 10})
    (folder / "cat" / "._000.png").write_bytes(b"notes of the file system")
    (folder / "cat" / "Thumbs.db").write_bytes(b"more notes")
    (folder / ".git").mkdir()
    (folder / "cat" / ".thumbnails").mkdir()
    picture((1, 2, 3), (4, 4)).save(folder / "cat" / ".thumbnails" / "000.png")
    data = load_dataset(str(folder))
    assert len(data.train) + len(data.val) + len(data.test) == 20
    assert data.class_names == ("cat", "dog")


def test_one_unreadable_picture_is_named(tmp_path: Path) -> None:
    folder = write_classes(tmp_path, {"cat": 10, "dog": 10})
    (folder / "dog" / "broken.jpeg").write_bytes(b"no picture")
    told = r"dog/broken\.jpeg can't be read as a picture \(no picture of a known format\); mend or remove it"
    with pytest.raises(DataError, match=told):
        load_dataset(str(folder))


def test_all_unreadable_pictures_are_counted_and_the_first_ones_named(tmp_path: Path) -> None:
    folder = write_classes(tmp_path, {"cat": 10, "dog": 10})
    for i in range(4):
        (folder / "dog" / f"broken{i}.jpeg").write_bytes(b"no picture")
        (folder / "cat" / f"empty{i}.tif").write_bytes(b"")
    with pytest.raises(DataError, match="8 pictures can't be read: ") as caught:
        load_dataset(str(folder))
    told = [f"cat/empty{i}.tif (an empty file)" for i in range(4)] + ["dog/broken0.jpeg (no picture of a known format)"]
    assert f"{', '.join(told)} and 3 more; mend or remove them" in str(caught.value)


def test_what_is_left_out_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_classes(tmp_path, {"cat": 10, "dog": 10})
    for i in range(7):
        (folder / "cat" / f"{i}.heic").write_bytes(b"?")
    assert len(load_dataset(str(folder)).train) == 14
    assert "left out, though it may be meant as a picture: cat/0.heic (.heic is not read), " in caplog.text
    assert "cat/4.heic (.heic is not read) and 2 more" in caplog.text


def test_one_class_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two classes; found only 'cat'"):
        load_dataset(str(write_classes(tmp_path, {"cat": 10})))


def test_an_empty_folder_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two classes; found none"):
        load_dataset(str(tmp_path))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_class_too_small_for_three_parts_is_named(tmp_path: Path, count: int) -> None:
    folder = write_classes(tmp_path, {"cat": 10, "dog": count})
    with pytest.raises(DataError, match="class 'dog' has no picture left for the training part"):
        load_dataset(str(folder))


def test_three_different_pictures_a_class_are_enough(tmp_path: Path) -> None:
    data = load_dataset(str(write_classes(tmp_path, {"cat": 3, "dog": 3})))
    assert [sorted(p.labels.tolist()) for p in (data.train, data.val, data.test)] == [[0, 1]] * 3


def test_an_empty_class_in_test_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"cat": 10, "dog": 10})
    write_classes(tmp_path / "test", {"cat": 10, "dog": 0})
    with pytest.raises(DataError, match="class 'dog' has no picture left for the test part"):
        load_dataset(str(tmp_path))


def test_train_and_test_with_different_classes_are_refused(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"cat": 10, "dog": 10})
    write_classes(tmp_path / "test", {"cat": 10, "cow": 10})
    with pytest.raises(DataError, match="same class folders; not all of them have cow, dog"):
        load_dataset(str(tmp_path))


def test_train_without_test_is_not_taken_for_a_class(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"cat": 10, "dog": 10})
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match="has train/ but no test/"):
        load_dataset(str(tmp_path))


# resolution


def write_sized(folder: Path, sides: list[tuple[int, int]]) -> Path:
    """Two classes, each with a picture of every size (width, height)."""
    for c, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for i, size in enumerate(sides):
            picture((i, 10 * c, 0), size).save(folder / name / f"{i:03}.png")
    return folder


@pytest.mark.parametrize(("own", "expected"), [(64, 64), (96, 96), (30, 30), (8, 16), (300, 128)])
def test_pictures_keep_their_own_size_as_far_as_the_space_allows(tmp_path: Path, own: int, expected: int) -> None:
    data = load_dataset(str(write_sized(tmp_path, [(own, own)] * 6)))
    assert data.resolution == expected
    assert data.train.pixels_nhwc.shape[1:] == (expected, expected, 3)
    assert data.shift == expected // 8  # of a training image: as at 32 pixels, an eighth of its side


def test_pictures_of_many_sizes_take_the_median_of_their_shorter_sides(tmp_path: Path) -> None:
    sides = [(40, 400), (300, 48), (56, 56), (64, 90), (1000, 100)]
    assert load_dataset(str(write_sized(tmp_path, sides))).resolution == 56


def test_a_resolution_that_is_asked_for_counts(tmp_path: Path) -> None:
    from flatnas.space.spaces import MOBILE_RESOLUTIONS

    folder = str(write_sized(tmp_path, [(300, 200)] * 6))
    assert load_dataset(folder, preparation=square(48)).resolution == 48
    assert load_dataset(folder, allowed=MOBILE_RESOLUTIONS).resolution == 200
    assert load_dataset("digits", preparation=square(32)).resolution == 32


def test_the_split_does_not_depend_on_the_resolution(tmp_path: Path) -> None:
    folder = write_sized(tmp_path, [(40 + i, 40) for i in range(40)])
    own, small = load_dataset(str(folder)), load_dataset(str(folder), preparation=square(24))
    assert own.resolution != small.resolution
    for part in ("train", "val", "test"):
        a, b = getattr(own, part), getattr(small, part)
        assert a.pixels_nhwc[:, 0, 0].tolist() == b.pixels_nhwc[:, 0, 0].tolist()


def test_a_resolution_that_is_not_possible_is_told(tmp_path: Path) -> None:
    folder = str(write_sized(tmp_path, [(64, 64)] * 6))
    with pytest.raises(DataError, match="takes images of 16 to 128 pixels, not of 129"):
        load_dataset(folder, preparation=square(129))
    with pytest.raises(DataError, match="images of 'digits' have 32 pixels, not 64; a resolution can be chosen for"):
        load_dataset("digits", preparation=square(64))


# what was promised of plain folders stays


def test_the_split_and_the_bytes_of_a_plain_folder_are_those_of_version_0_1(tmp_path: Path) -> None:
    """Taken before this loader was written: runs on own pictures go on with the pictures that they began with."""
    rng = np.random.default_rng(20)
    for name in ("cat", "dog", "emu"):
        (tmp_path / name).mkdir()
        for i in range(12):
            height, width = rng.integers(20, 60, 2)
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            kinds = (pixels, pixels[..., 0], pixels[..., 0].astype(np.uint16) * 257, pixels)
            suffix = "bmp" if i % 4 == 3 else "png"
            Image.fromarray(kinds[i % 4]).save(tmp_path / name / f"{i:02}.{suffix}")
    data = load_dataset(str(tmp_path))
    assert data.resolution == 31
    assert data.content_sha256 == "1fe7e6a8a76c8af0e26fb4308afdc4342b6b48901da0dab081b7ad706e9ff6af"
    assert data.val.labels.tolist() == [1, 1, 2, 2, 0, 0]
    assert data.test.labels.tolist() == [2, 1, 1, 2, 0, 0]


# parts, groups, copies


def test_a_validation_folder_is_used(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"cat": 20, "dog": 20})
    write_classes(tmp_path / "val", {"cat": 2, "dog": 2}, first=100)
    write_classes(tmp_path / "test", {"cat": 3, "dog": 2}, first=200)
    data = load_dataset(str(tmp_path))
    assert (len(data.train), len(data.val), len(data.test)) == (40, 4, 5)
    assert colours(data.val) == {(100, 0, 0), (101, 0, 0), (100, 10, 0), (101, 10, 0)}


def test_frames_of_one_video_stay_in_one_part(tmp_path: Path) -> None:
    for c, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for video in range(8):
            for frame in range(5):
                picture((10 * video, 10 * c, frame)).save(tmp_path / name / f"{name}{video}_{frame}.png")
    data = load_dataset(str(tmp_path), preparation=Preparation(group_by=r"(.*)_"))
    videos = [{(r, g) for r, g, _ in colours(part)} for part in (data.train, data.val, data.test)]
    assert sorted(len(its) for its in videos) == [2, 2, 12]
    assert len(set.union(*videos)) == 16
    with pytest.raises(DataError, match=r"class 'cat' has 1 group \(\.\), and 3 parts need one each.* \(and 1 more"):
        load_dataset(str(tmp_path), preparation=Preparation(group_by="folder"))


def test_a_group_that_given_parts_tear_apart_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_classes(tmp_path / "train", {"cat": 20, "dog": 20})
    write_classes(tmp_path / "test", {"cat": 3, "dog": 2}, first=200)
    load_dataset(str(tmp_path), preparation=Preparation(group_by=r"\d+"))
    assert "groups of the test part are in train/, too: 000, 001, 002" in caplog.text


def test_nearly_equal_pictures_in_training_and_test_are_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from skimage.data import astronaut

    for part, added in (("train", 0), ("test", 10)):
        for c, name in enumerate(("cat", "dog")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(3):
                tile = astronaut()[100 * i : 100 * i + 96, 200 * c : 200 * c + 96] // 2 + added
                Image.fromarray(tile.astype(np.uint8)).save(tmp_path / part / name / f"{i}.png")
    load_dataset(str(tmp_path))
    assert "6 of 6 test pictures look nearly like one of training or validation" in caplog.text


# colours, mirrors, shape, order of work


@pytest.mark.parametrize(
    ("names", "asked", "mirrors"),
    [
        (("cat", "dog"), None, True),
        (("turn_left", "turn_right"), None, False),
        (("turn_left", "turn_right"), True, True),
        (("cat", "dog"), False, False),
    ],
)
def test_pictures_are_mirrored_unless_names_or_the_user_say_no(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: tuple[str, ...], asked: bool | None, mirrors: bool
) -> None:
    folder = write_classes(tmp_path, dict.fromkeys(names, 5))
    assert load_dataset(str(folder), preparation=Preparation(mirrors=asked)).mirrors is mirrors
    told = "mirrors no picture, because the classes 'turn_left', 'turn_right' may not look the same in a mirror"
    assert (told in caplog.text) is (asked is None and not mirrors)


def test_grey_pictures_have_one_channel_and_the_same_split(tmp_path: Path) -> None:
    folder = str(write_classes(tmp_path, {"cat": 20, "dog": 20}))
    colour, grey = load_dataset(folder), load_dataset(folder, preparation=Preparation(channels=1))
    assert grey.channels == 1
    for part in ("train", "val", "test"):
        its = [round(0.299 * r + 0.587 * g) for r, g, _ in getattr(colour, part).pixels_nhwc[:, 0, 0].tolist()]
        assert getattr(grey, part).pixels_nhwc[:, 0, 0, 0].tolist() == its
    assert grey.content_sha256 != colour.content_sha256


def test_pictures_may_be_no_squares(tmp_path: Path) -> None:
    folder = str(write_sized(tmp_path, [(64, 48)] * 6))
    data = load_dataset(folder, preparation=Preparation(size_hw=(24, 32)))
    assert data.train.pixels_nhwc.shape[1:] == (24, 32, 3)
    assert data.size_hw == (24, 32)
    assert data.shift == 3
    with pytest.raises(DataError, match="have 32 x 24 pixels; only squares are taken here"):
        _ = data.resolution
    with pytest.raises(DataError, match="takes images of 16 to 128 pixels, not of 12"):
        load_dataset(folder, preparation=Preparation(size_hw=(24, 12)))


def test_progress_counts_every_picture_and_threads_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(write_sized(tmp_path, [(40 + i, 60) for i in range(30)]))
    told: list[tuple[int, int | None]] = []
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    alone = load_dataset(folder, progress=lambda done, total: told.append((done, total)))
    assert told == [(i + 1, 60) for i in range(60)]
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert load_dataset(folder).content_sha256 == alone.content_sha256


def test_named_data_sets_can_be_grey_and_mirrored() -> None:
    colour, grey = load_dataset("digits"), load_dataset("digits", preparation=Preparation(channels=1, mirrors=True))
    assert np.array_equal(np.repeat(grey.test.pixels_nhwc, 3, axis=3), colour.test.pixels_nhwc)
    assert (colour.mirrors, grey.mirrors) == (False, True)
    assert grey.content_sha256 != colour.content_sha256
    with pytest.raises(DataError, match="images of 'digits' are split already; groups are for folders"):
        load_dataset("digits", preparation=Preparation(group_by="folder"))
    with pytest.raises(DataError, match="images of 'digits' have 32 pixels, not 32 x 16"):
        load_dataset("digits", preparation=Preparation(size_hw=(16, 32)))
