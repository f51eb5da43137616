"""Many files at once: in order, each by itself, and what can't be read beside what can."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flatnas.data.listing import PictureFile
from flatnas.data.reading import ReadPicture, Unreadable, read_headers, read_pictures


@pytest.mark.parametrize("cores", [1, 3, 16])
def test_results_come_in_the_order_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    files = []
    for i in range(100):
        side = 600 if i % 7 == 0 else 8  # some take longer than those behind them
        Image.new("RGB", (side, side), (i, 0, 0)).save(tmp_path / f"{i}.png")
        files.append(PictureFile(tmp_path / f"{i}.png", i))
    files[50:50] = [PictureFile(tmp_path / "absent.png", 100)]
    told: list[tuple[int, int | None]] = []
    results = read_pictures(files, read_headers(files), lambda rgb: rgb[:1, :1], lambda *so_far: told.append(so_far))
    assert [r.file.label if isinstance(r, ReadPicture) else r for r in results] == [
        *range(50),
        Unreadable(tmp_path / "absent.png", "no such file"),
        *range(50, 100),
    ]
    assert [r.pixels_hwc[0, 0, 0] for r in results if isinstance(r, ReadPicture)] == list(range(100))
    assert told == [(i + 1, 101) for i in range(101)]


def test_a_picture_is_known_by_its_pixels_and_its_own_size(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "b.bmp")
    Image.fromarray(pixels[:, ::-1]).save(tmp_path / "c.png")
    Image.new("RGB", (20, 12), (5, 5, 5)).save(tmp_path / "d.png")
    files = [PictureFile(tmp_path / name, 0) for name in ("a.png", "b.bmp", "c.png", "d.png")]
    a, b, c, d = (r for r in read_pictures(files, read_headers(files), lambda rgb: rgb) if isinstance(r, ReadPicture))
    assert a.sha256 == b.sha256
    assert len({a.sha256, c.sha256, d.sha256}) == 3
    assert [picture.one_colour for picture in (a, b, c, d)] == [False, False, False, True]
    assert {picture.own_hw for picture in (a, b, c, d)} == {(12, 20)}


def test_pillows_warnings_do_not_reach_the_user_and_are_as_before_afterwards(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-40])  # "Truncated File Read" and the like
    files = [PictureFile(tmp_path / name, 0) for name in ("a.tif", "b.tif")]
    before = warnings.filters[:]
    with warnings.catch_warnings(record=True) as caught:
        results = read_pictures(files, read_headers(files), lambda rgb: rgb)
    assert [type(result) for result in results] == [ReadPicture, Unreadable]
    assert caught == []
    assert warnings.filters == before
