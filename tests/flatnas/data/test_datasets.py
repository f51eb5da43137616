from __future__ import annotations

import hashlib
import io
import logging
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from flatnas.data.cifar import CIFAR10, CLASS_NAMES, FOLDER, MD5, find_release, load_cifar10
from flatnas.data.dataset import Dataset, Images, content_sha256, split_indices
from flatnas.data.registry import load_dataset
from flatnas.errors import DataError, MissingDataError

NAMES = tuple(MD5)
PER_FILE = 20  # 100 training images, 10 of each class


@pytest.fixture(autouse=True)
def _no_data_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.delenv("PIPELINE_DATA", raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def records() -> dict[str, bytes]:
    """Six files; image n of all 120 has label n % 10, red n, green 255 - n, and blue 0 but for row 2, column 5."""
    contents = {}
    blue = bytearray(1024)
    blue[2 * 32 + 5] = 77
    for i, name in enumerate(NAMES):
        numbers = range(i * PER_FILE, (i + 1) * PER_FILE)
        contents[name] = b"".join(bytes([n % 10]) + bytes([n]) * 1024 + bytes([255 - n]) * 1024 + blue for n in numbers)
    return contents


def md5_of(contents: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in contents.items()}


MD5_OF_RECORDS = md5_of(records())


def write_folder(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, contents: dict[str, bytes], prefix: str = f"{FOLDER}/") -> Path:
    mode = {"gz": "w:gz", "xz": "w:xz", "tar": "w:"}[path.name.rpartition(".")[2]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in contents.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def numbers(images: Images) -> list[int]:
    """Which of the images of `records` these are."""
    return [int(n) for n in images.pixels_nhwc[:, 0, 0, 0]]


def same(a: Dataset, b: Dataset) -> bool:
    return all(
        np.array_equal(x.pixels_nhwc, y.pixels_nhwc) and np.array_equal(x.labels, y.labels)
        for x, y in ((a.train, b.train), (a.val, b.val), (a.test, b.test))
    )


# CIFAR-10


def test_a_record_becomes_a_picture_with_interleaved_channels_and_its_label(tmp_path: Path, cache: Path) -> None:
    write_folder(tmp_path / "data" / FOLDER, records())
    test = load_cifar10(tmp_path / "data", md5=MD5_OF_RECORDS, cache_dir=cache).test
    assert test.pixels_nhwc.shape == (20, 32, 32, 3)
    assert test.pixels_nhwc[3, 0, 0].tolist() == [103, 152, 0]
    assert test.pixels_nhwc[3, 2, 5].tolist() == [103, 152, 77]
    assert test.pixels_nhwc[3, 5, 2].tolist() == [103, 152, 0]
    assert test.labels[:4].tolist() == [0, 1, 2, 3]
    assert [str(test.pixels_nhwc.dtype), str(test.labels.dtype)] == ["uint8", "int64"]


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz", "cifar-10-binary.tar"])
@pytest.mark.parametrize("prefix", [f"{FOLDER}/", "", "./"])
def test_an_archive_holds_what_the_folder_holds(tmp_path: Path, cache: Path, name: str, prefix: str) -> None:
    shuffled = dict(reversed(records().items()))  # the order of members must not matter
    write_archive(tmp_path / name, shuffled, prefix)
    data = load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)
    assert sorted(numbers(data.train) + numbers(data.val)) == list(range(100))
    assert numbers(data.test) == list(range(100, 120))
    assert [n % 10 for n in numbers(data.train)] == data.train.labels.tolist()
    assert sorted(data.val.labels.tolist()) == list(range(10))
    assert data.class_names == CLASS_NAMES
    assert data.resolution == 32


def test_the_validation_split_is_the_one_that_supernets_were_trained_without() -> None:
    # drawn by the script that trained the first supernet
    rest, picked = split_indices(np.arange(40) % 2, 0.1)
    assert picked.tolist() == [8, 23, 33, 38]
    assert sorted([*rest, *picked]) == list(range(40))


def test_the_first_directory_that_holds_the_data_wins(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = write_archive(tmp_path / "named" / "cifar-10-binary.tar", {})
    env = write_archive(tmp_path / "env" / "cifar-10-binary.tar.xz", {})
    cached = write_folder(cache / FOLDER, {})
    monkeypatch.setenv("PIPELINE_DATA", str(env.parent))
    assert find_release(CIFAR10, named.parent, cache) == named
    assert find_release(CIFAR10, tmp_path / "elsewhere", cache) == env
    assert find_release(CIFAR10, None, cache) == env
    env.unlink()
    assert find_release(CIFAR10, None, cache) == cached


def test_a_directory_may_be_the_folder_of_batches_itself(tmp_path: Path, cache: Path) -> None:
    folder = write_folder(tmp_path / "batches", records())
    assert len(load_cifar10(folder, md5=MD5_OF_RECORDS, cache_dir=cache).train) == 90


def test_missing_data_names_both_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"pipeline data fetch cifar10.*--data-dir") as caught:
        load_dataset("cifar10", tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert str(tmp_path / "user-cache") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_named_with_both_digests(tmp_path: Path, cache: Path) -> None:
    contents = records()
    contents["data_batch_4.bin"] = contents["data_batch_4.bin"][:-1]
    write_folder(tmp_path / FOLDER, contents)
    found = md5_of(contents)["data_batch_4.bin"]
    expected = MD5_OF_RECORDS["data_batch_4.bin"]
    message = rf"data_batch_4\.bin is damaged: 61,459 bytes with MD5 {found}, expected {expected}"
    with pytest.raises(DataError, match=message):
        load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)


def test_a_folder_that_lacks_a_file_names_it(tmp_path: Path, cache: Path) -> None:
    folder = write_folder(tmp_path / FOLDER, records())
    (folder / "data_batch_5.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_5\.bin can't be read \(No such file"):
        load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz", "cifar-10-binary.tar"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7])
def test_a_cut_off_archive_is_an_error_that_names_it(tmp_path: Path, cache: Path, name: str, kept: float) -> None:
    archive = write_archive(tmp_path / name, records())
    content = archive.read_bytes()
    archive.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=rf"{name}.*(cut off or damaged|lacks).*pipeline data fetch cifar10") as caught:
        load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)
    assert "\n" not in str(caught.value)


def test_a_changed_file_in_an_archive_is_an_error_that_names_both(tmp_path: Path, cache: Path) -> None:
    contents = records()
    contents["test_batch.bin"] = contents["test_batch.bin"][:-1] + b"x"
    write_archive(tmp_path / "cifar-10-binary.tar.gz", contents)
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz:cifar-10-batches-bin/test_batch\.bin is damaged"):
        load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)


@pytest.mark.parametrize("prefix", ["../", "/", "elsewhere/"])
def test_members_in_unexpected_places_are_not_read(tmp_path: Path, cache: Path, prefix: str) -> None:
    write_archive(tmp_path / "data" / "cifar-10-binary.tar", records(), prefix)
    with pytest.raises(DataError, match=r"lacks data_batch_1\.bin, .*test_batch\.bin"):
        load_cifar10(tmp_path / "data", md5=MD5_OF_RECORDS, cache_dir=cache)
    assert [p.name for p in tmp_path.rglob("*.bin")] == []


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path, cache: Path) -> None:
    secret = tmp_path / "data_batch_1.bin"
    secret.write_bytes(records()["data_batch_1.bin"])
    archive = tmp_path / "data" / "cifar-10-binary.tar"
    archive.parent.mkdir()
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)
    with pytest.raises(DataError, match=r"lacks data_batch_1\.bin"):
        load_cifar10(archive.parent, md5=MD5_OF_RECORDS, cache_dir=cache)


def test_a_size_that_no_file_can_have_is_one_line(tmp_path: Path, cache: Path) -> None:
    header = bytearray(tarfile.TarInfo("data_batch_1.bin").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\x80\x00\x00\x00" + b"\x7f" * 8  # 2^63 and more, in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    archive = tmp_path / "data" / "cifar-10-binary.tar"
    archive.parent.mkdir()
    archive.write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(DataError, match="is cut off or damaged"):
        load_cifar10(archive.parent, md5=MD5_OF_RECORDS, cache_dir=cache)


def test_an_archive_is_decompressed_once(tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_archive(tmp_path / "cifar-10-binary.tar.xz", records())
    caplog.set_level(logging.INFO)
    first = load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)
    assert "this takes some seconds, once" in caplog.text
    caplog.clear()
    second = load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)
    assert caplog.text == ""
    assert same(first, second)
    assert [p for p in cache.rglob("*") if p.name.startswith(".partial-")] == []


@pytest.mark.parametrize("damage", ["a flipped bit", "its header", "a cut file", "a lost file", "other images"])
def test_a_damaged_cache_is_noticed_and_made_again(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    write_archive(tmp_path / "cifar-10-binary.tar.gz", records())
    first = load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)
    (pixels,) = cache.rglob("pixels.npy")
    content = pixels.read_bytes()
    if damage == "a flipped bit":
        pixels.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    elif damage == "a cut file":
        pixels.write_bytes(content[:5000])
    elif damage == "a lost file":
        pixels.unlink()
    elif damage == "its header":
        pixels.write_bytes(content.replace(b"'descr'", b"'deszr'"))
    else:
        np.save(pixels, np.zeros((120, 32, 32, 3), np.uint8))
    assert same(first, load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache))
    assert "is damaged and is made again" in caplog.text
    assert pixels.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_archive(tmp_path / "cifar-10-binary.tar.gz", records())
    (tmp_path / "file").write_text("not a directory")
    assert len(load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=tmp_path / "file").train) == 90
    assert "can't be kept in" in caplog.text


def test_a_cache_does_not_hide_that_the_archive_was_damaged_since(tmp_path: Path, cache: Path) -> None:
    archive = write_archive(tmp_path / "cifar-10-binary.tar.gz", records())
    load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(DataError, match="cut off or damaged"):
        load_cifar10(tmp_path, md5=MD5_OF_RECORDS, cache_dir=cache)


@pytest.mark.slow  # 10 s, nearly all of it decompressing
@pytest.mark.skipif("PIPELINE_SHARED" not in os.environ, reason="PIPELINE_SHARED names no directory with data/")
def test_the_real_archive_has_the_published_statistics_and_the_fixed_split(tmp_path: Path, cache: Path) -> None:
    data = load_cifar10(Path(os.environ["PIPELINE_SHARED"]) / "data", cache_dir=cache)
    assert (len(data.train), len(data.val), len(data.test)) == (45_000, 5_000, 10_000)
    assert np.bincount(data.val.labels).tolist() == [500] * 10
    sums = sum(part.pixels_nhwc.sum((0, 1, 2), dtype=np.int64) for part in (data.train, data.val))
    means = sums / (50_000 * 1024)
    assert means.tolist() == pytest.approx([125.30691805, 122.95039414, 113.86538318], abs=1e-8)
    # of the images that the training script of the first supernet kept out
    assert hashlib.sha256(data.val.pixels_nhwc.tobytes()).hexdigest() == (
        "e382893f41686ae8574b11587beedb78114888590c1afda9d03c097260aaacdd"
    )


# digits


def test_digits_are_bilinear_enlargements_with_full_range() -> None:
    from sklearn.datasets import load_digits

    data = load_dataset("digits")
    parts = (data.train, data.val, data.test)
    pixels = np.concatenate([part.pixels_nhwc for part in parts])
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    # enlarging is linear, so the mean picture is the enlarged mean; half-pixel centres, edges repeated
    weights = np.zeros((32, 8))
    for i in range(32):
        centre = min(max((i + 0.5) / 4 - 0.5, 0), 7)
        low = min(int(centre), 6)
        weights[i, low : low + 2] = 1 - (centre - low), centre - low
    mean = weights @ (load_digits().images.mean(0) * 255 / 16) @ weights.T
    assert np.abs(pixels[..., 0].mean(0) - mean).max() < 0.5  # roundings to whole numbers, averaged


def test_digits_are_split_by_class_about_60_20_20_and_always_alike() -> None:
    first, second = load_dataset("digits"), load_dataset("digits")
    assert len(first.train) + len(first.val) + len(first.test) == 1797
    per_class = np.array([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])  # 1,797 in all
    for part, share in ((first.train, 0.6), (first.val, 0.2), (first.test, 0.2)):
        assert np.abs(np.bincount(part.labels, minlength=10) - share * per_class).max() <= 1  # two roundings
    assert same(first, second)
    assert first.content_sha256 == second.content_sha256
    assert first.class_names == tuple("0123456789")
    assert (first.mirrors, first.resolution) == (False, 32)


# all


@pytest.mark.parametrize("name", ["cifar11", "no/such/folder"])
def test_an_unknown_data_set_is_answered_with_the_choices(name: str) -> None:
    with pytest.raises(
        DataError, match=rf"no data set '{name}'; choose one of cifar10, cifar100, digits, or name an existing"
    ):
        load_dataset(name)


def test_the_content_hash_tells_pixels_labels_and_parts_apart() -> None:
    def images(pixel: int = 0, label: int = 0, count: int = 2) -> Images:
        return Images(np.full((count, 4, 4, 3), pixel, np.uint8), np.full(count, label, np.int64))

    hashes = [
        content_sha256(images(), images()),
        content_sha256(images(pixel=1), images()),
        content_sha256(images(), images(label=1)),
        content_sha256(images(count=1), images(count=3)),
    ]
    assert len(set(hashes)) == 4
    assert content_sha256(images(), images()) == hashes[0]


@pytest.mark.parametrize(
    ("shape", "dtype", "labels", "message"),
    [
        ((2, 4, 4, 3), np.float32, [0, 1], "pixels must be uint8"),
        ((2, 3, 4, 4), np.uint8, [0, 1], r"uint8 \(N, H, W, 3\) or \(N, H, W, 1\), not uint8 \(2, 3, 4, 4\)"),
        ((3, 4, 4, 3), np.uint8, [0, 1], "3 images but 2 labels"),
        ((2, 4, 4, 3), np.uint8, [[0, 1]], "labels must be int64"),
    ],
)
def test_images_of_another_kind_are_refused(shape: tuple[int, ...], dtype: type, labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Images(np.zeros(shape, dtype), np.array(labels, np.int64))
