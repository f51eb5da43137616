"""The official archives' layout, on small ones made here; the real ones can't be downloaded by a test."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from flatnas.corruptions import CORRUPTIONS
from flatnas.data.cifar_c import CIFAR10_C_MD5, check_corrupted, check_labels, find_corrupted, read_corrupted
from flatnas.errors import DataError

COUNT = 20


def blocks(name: str) -> npt.NDArray[np.uint8]:
    """Five blocks of pictures, as `name`.npy holds them."""
    return np.random.default_rng(list(name.encode())).integers(0, 256, (5 * COUNT, 32, 32, 3), np.uint8)


def npy(array: npt.NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "CIFAR-10-C.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("fog", "snow"):
            add(tar, f"CIFAR-10-C/{name}.npy", npy(blocks(name)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "unpacked" / "CIFAR-10-C"
    path.mkdir(parents=True)
    for name in ("fog", "snow"):
        (path / f"{name}.npy").write_bytes(npy(blocks(name)))
    return path


@pytest.mark.parametrize("source", ["archive", "folder"])
def test_a_severity_is_a_block_and_a_picture_a_row_of_it(source: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(source)
    indices = np.array([0, 7, 19])
    for severity in range(1, 6):
        expected = blocks("snow")[(severity - 1) * COUNT :][indices]
        np.testing.assert_array_equal(read_corrupted(path, "snow", severity, indices, COUNT), expected)


def test_the_archive_is_found_where_data_is_looked_for(archive: Path, tmp_path: Path) -> None:
    assert find_corrupted("cifar10", archive.parent, tmp_path / "cache") == archive
    assert find_corrupted("digits", archive.parent, tmp_path / "cache") is None


def test_nothing_is_found_where_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINE_DATA", raising=False)
    assert find_corrupted("cifar10", tmp_path, tmp_path / "cache") is None
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "CIFAR-10-C").mkdir(parents=True)
    assert find_corrupted("cifar10", tmp_path, tmp_path / "cache") == tmp_path / "data" / "CIFAR-10-C"


def test_every_corruption_has_a_published_digest() -> None:
    assert set(CIFAR10_C_MD5) == {*CORRUPTIONS, "labels"}


def test_a_digest_is_checked_and_the_file_named(archive: Path) -> None:
    right = {"fog": hashlib.md5(npy(blocks("fog"))).hexdigest()}
    check_corrupted(archive, "cifar10", ["fog"], right)
    with pytest.raises(DataError, match=r"fog\.npy is damaged: .* expected 0+; delete .*--source generated"):
        check_corrupted(archive, "cifar10", ["fog"], {"fog": "0" * 32})
    with pytest.raises(DataError, match="is damaged"):
        check_corrupted(archive, "cifar10", ["snow"])  # not the published one


def test_labels_must_be_those_of_the_test_set_five_times(tmp_path: Path) -> None:
    labels = np.arange(COUNT) % 10
    path = tmp_path / "CIFAR-10-C.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "CIFAR-10-C/labels.npy", npy(np.tile(labels, 5).astype(np.uint8)))
        add(tar, "CIFAR-10-C/fog.npy", npy(blocks("fog")))
    check_labels(path, labels)
    with pytest.raises(DataError, match="does not hold the labels of the test set"):
        check_labels(path, labels[::-1])


def test_what_is_missing_is_named(archive: Path, folder: Path) -> None:
    with pytest.raises(DataError, match=r"CIFAR-10-C\.tar lacks frost\.npy"):
        read_corrupted(archive, "frost", 1, np.array([0]), COUNT)
    with pytest.raises(DataError, match=r"frost\.npy can't be read"):
        read_corrupted(folder, "frost", 1, np.array([0]), COUNT)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.7, 0.9])
def test_an_archive_that_was_cut_off_is_refused(archive: Path, kept: float) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=r"cut off|lacks"):
        read_corrupted(archive, "snow", 5, np.array([COUNT - 1]), COUNT)


@pytest.mark.parametrize("kept", [5, 60, 128, 2000])
def test_a_file_that_was_cut_off_before_it_came_into_the_archive_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "CIFAR-10-C.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "CIFAR-10-C/fog.npy", npy(blocks("fog"))[:kept])
        add(tar, "CIFAR-10-C/snow.npy", npy(blocks("snow")))  # the bytes that would be taken for fog's
    with pytest.raises(DataError, match=r"fog\.npy .*cut off"):
        read_corrupted(path, "fog", 5, np.array([COUNT - 1]), COUNT)


def test_another_number_or_kind_of_pictures_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="holds 100 pictures; 5 x 21 were expected"):
        read_corrupted(folder, "fog", 1, np.array([0]), COUNT + 1)
    (folder / "fog.npy").write_bytes(npy(blocks("fog").astype(np.float32)))
    with pytest.raises(DataError, match="holds float32"):
        read_corrupted(folder, "fog", 1, np.array([0]), COUNT)


def test_members_that_are_no_plain_files_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.npy"
    secret.write_bytes(npy(blocks("fog")))
    path = tmp_path / "CIFAR-10-C.tar"
    with tarfile.open(path, "w") as tar:
        for kind, name in ((tarfile.SYMTYPE, "fog"), (tarfile.LNKTYPE, "snow")):
            link = tarfile.TarInfo(f"CIFAR-10-C/{name}.npy")
            link.type, link.linkname = kind, str(secret)
            tar.addfile(link)
        add(tar, "../frost.npy", npy(blocks("frost")))
    for name in ("fog", "snow", "frost"):
        with pytest.raises(DataError, match="lacks"):
            read_corrupted(path, name, 1, np.array([0]), COUNT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["CIFAR-10-C.tar", "secret.npy"]


def test_a_pickled_array_is_never_loaded(folder: Path) -> None:
    np.save(folder / "fog.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="holds object"):
        read_corrupted(folder, "fog", 1, np.array([0]), COUNT)


def test_thousands_of_mutated_archives_give_clean_errors_and_write_nothing(archive: Path) -> None:
    whole = archive.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    with archive.open("r+b") as file:
        for _ in range(3000):
            # Mostly headers: of the archive, and of the arrays in it.
            start = int(rng.choice([0, 512, 512 * (1 + -(-len(npy(blocks("fog"))) // 512))]))
            places = start + rng.integers(0, 512, rng.integers(1, 6))
            for place in places:
                file.seek(place)
                file.write(bytes([rng.integers(256)]))
            file.flush()
            try:
                got = read_corrupted(archive, "snow", 3, np.array([1]), COUNT)
                assert got.shape[0] == 1
            except DataError as error:
                refused += "\n" not in str(error)
            file.seek(start)
            file.write(whole[start : start + 1024])
            file.flush()
    assert refused > 100
    assert [p.name for p in archive.parent.iterdir()] == ["CIFAR-10-C.tar"]
