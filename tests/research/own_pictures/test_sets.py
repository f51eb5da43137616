"""The sets are built from small packages of the real layout: no registry is asked."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import PipelineError
from research.own_pictures import packages, sets

EMOJI = 30  # of each category


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an emoji package, each emoji a square of its own colour."""
    folder = tmp_path_factory.mktemp("packages")
    entries, files = [], dict[str, bytes]()
    for c, category in enumerate(("Animals & Nature", "Food & Drink", "Travel & Places")):
        for number in range(EMOJI):
            name = f"{c}{number:02}.png"
            entries.append({"image": name, "category": category, "subcategory": "some-thing"})
            content = io.BytesIO()
            Image.new("RGBA", (64, 64), (100 * c, 8 * number, 7, 255)).save(content, "PNG")
            files[f"package/img/twitter/64/{name}"] = content.getvalue()
    entries.append({"image": "none.png", "category": "Objects", "subcategory": "tool"})  # listed, without a picture
    files["package/emoji.json"] = json.dumps(entries).encode()
    with tarfile.open(folder / "emoji-datasource-twitter-16.0.0.tgz", "w:gz") as tar:
        for path, content_bytes in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content_bytes)
            tar.addfile(member, io.BytesIO(content_bytes))
    return folder


def digests(folder: Path) -> Mapping[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.png")
    }


def test_a_set_has_the_stated_pictures_in_each_part_and_is_the_same_every_time(tmp_path: Path, fetched: Path) -> None:
    first, second = (sets.build("three-64", tmp_path / name, fetched) for name in ("a", "b"))
    assert digests(first) == digests(second)
    counts = {
        f"{part}/{name}": len(list((first / part / name).iterdir()))
        for part in ("train", "val", "test")
        for name in ("animals", "food", "travel")
    }
    assert counts == {
        f"{part}/{name}": n
        for part, n in (("train", 51), ("val", 9), ("test", 100))
        for name in ("animals", "food", "travel")
    }
    data = sets.read(first, 32)
    assert data.class_names == ("animals", "food", "travel")
    assert data.train.pixels_nhwc.shape == (153, 32, 32, 3)
    assert np.bincount(data.test.labels).tolist() == [100, 100, 100]
    assert data.shift == 4


def test_a_set_that_is_there_stays(tmp_path: Path, fetched: Path) -> None:
    (tmp_path / "three-64").mkdir()
    assert list(sets.build("three-64", tmp_path, fetched).iterdir()) == []


def test_no_emoji_lies_in_two_parts(fetched: Path) -> None:
    found = packages.emoji(fetched)
    assert len(found) == 3 * EMOJI
    parts = sets.parts_of(found, [1, 0])
    codes = [emoji.code for part in parts.values() for emoji in part]
    assert sorted(codes) == sorted(emoji.code for emoji in found)
    assert [len(part) for part in parts.values()] == [63, 9, 18]  # 70, 10, 20 % of 90


def test_few_surfaces_are_scratched(tmp_path: Path) -> None:
    pictures = list(sets.SETS["scratches-64"](tmp_path))
    counts = {(part, name): 0 for part, name, _ in pictures}
    for part, name, pixels in pictures:
        assert pixels.shape == (64, 64, 3)
        counts[part, name] += 1
    assert counts["train", "good"] + counts["val", "good"] == 1200
    assert counts["train", "scratched"] + counts["val", "scratched"] == 80
    assert (counts["test", "good"], counts["test", "scratched"]) == (400, 100)


def test_fashion_is_read_from_idx_files(tmp_path: Path) -> None:
    folder = tmp_path / "fashion" / "usr/share/datasets/fashion-mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = {"train": rng.integers(0, 256, (6200, 28, 28)), "t10k": rng.integers(0, 256, (50, 28, 28))}
    for part, values in pixels.items():
        labels = np.arange(len(values)) % 10
        images = struct.pack(">4i", 0x803, len(values), 28, 28) + values.astype(np.uint8).tobytes()
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        names = struct.pack(">2i", 0x801, len(values)) + labels.astype(np.uint8).tobytes()
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(names))
    whole = sets.build("fashion", tmp_path / "sets", tmp_path)
    first = np.array(Image.open(whole / "val" / "t-shirt" / "00001.png"))
    assert np.array_equal(first, pixels["train"][0])
    boots = [np.array(Image.open(path)) for path in sorted((whole / "test" / "ankle-boot").iterdir())]
    assert np.array_equal(boots, pixels["t10k"][9::10])
    assert [len(list((whole / part / "bag").iterdir())) for part in ("train", "val", "test")] == [20, 600, 5]


def test_a_registry_out_of_reach_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match="npm is not installed, which would fetch 'npm pack emoji-datasource"):
        packages.emoji(tmp_path)
