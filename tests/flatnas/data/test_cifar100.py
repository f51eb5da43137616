"""CIFAR-100 on a small archive of the official layout; the real one can't be downloaded by a test."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from flatnas.data.cifar100 import CIFAR100, load_cifar100
from flatnas.errors import DataError, MissingDataError


def records(count: int, seed: int) -> bytes:
    """A coarse label that misleads, a fine one, and planes of red, green and blue that tell which is which."""
    rng = np.random.default_rng(seed)
    fine = np.arange(count) % 100
    planes = np.stack([np.full((count, 1024), level, np.uint8) for level in (10, 20, 30)], axis=1).reshape(count, 3072)
    planes[:, 0] = rng.integers(0, 256, count)
    return np.column_stack([np.full(count, 7), fine, planes]).astype(np.uint8).tobytes()


CONTENTS = {"train.bin": records(500, 1), "test.bin": records(100, 2)}
MD5 = {name: hashlib.md5(content).hexdigest() for name, content in CONTENTS.items()}


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(autouse=True)
def no_other_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINE_DATA", raising=False)


def test_the_fine_label_counts_and_the_planes_become_channels(tmp_path: Path) -> None:
    archive(tmp_path / "cifar-100-binary.tar.gz", CONTENTS)
    data = load_cifar100(tmp_path, md5=MD5, cache_dir=tmp_path / "cache")
    assert (len(data.train), len(data.val), len(data.test)) == (500, 0, 100)
    assert data.test.labels.tolist() == list(range(100))
    assert data.test.pixels_nhwc[5, 3, 4].tolist() == [10, 20, 30]
    assert data.name == "cifar100"


def test_a_folder_of_the_files_is_read_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    data = load_cifar100(tmp_path, md5=MD5, cache_dir=tmp_path / "cache")
    assert data.test.labels.tolist() == list(range(100))


def test_the_hundred_class_names_are_in_the_labels_order() -> None:
    assert len(CIFAR100.class_names) == 100
    assert list(CIFAR100.class_names) == sorted(CIFAR100.class_names)
    assert (CIFAR100.class_names[0], CIFAR100.class_names[49], CIFAR100.class_names[99]) == (
        "apple",
        "mountain",
        "worm",
    )


def test_a_damaged_file_and_absent_data_say_what_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"CIFAR-100 was not found .* run 'pipeline data fetch cifar100'"):
        load_cifar100(tmp_path, md5=MD5, cache_dir=tmp_path / "cache")
    archive(tmp_path / "cifar-100-binary.tar.gz", CONTENTS | {"test.bin": CONTENTS["test.bin"][:-1]})
    with pytest.raises(DataError, match=r"test\.bin is damaged: .* run 'pipeline data fetch cifar100'"):
        load_cifar100(tmp_path, md5=MD5, cache_dir=tmp_path / "cache")
