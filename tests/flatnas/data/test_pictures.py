"""One picture file of each kind: what it becomes, and what is refused before it costs memory or waits for ever."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, features

from flatnas.data.grey import to_grey
from flatnas.data.pictures import looks_like_a_picture, read_header, read_rgb, readable_suffixes
from flatnas.errors import DataError


def only_pixel(path: Path) -> list[int]:
    """The colour of a plain picture."""
    (colour,) = np.unique(read_rgb(path).reshape(-1, 3), axis=0).tolist()
    assert isinstance(colour, list)
    return colour


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".gif", ".tif", ".tiff", ".ppm"])
def test_lossless_formats_keep_every_byte(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    Image.fromarray(pixels).quantize(200).convert("RGB").save(tmp_path / "reference.png")
    with Image.open(tmp_path / "reference.png") as image:
        image.save(tmp_path / f"a{suffix}")
        assert np.array_equal(read_rgb(tmp_path / f"a{suffix}"), np.asarray(image))


@pytest.mark.parametrize(
    ("suffix", "feature", "options"),
    [
        (".webp", "webp", {"lossless": True}),
        (".jp2", "jpg_2000", {"irreversible": False}),
        (".avif", "avif", {"quality": 100, "subsampling": "4:4:4"}),
        (".jpg", "jpg", {"quality": 100, "subsampling": 0}),
    ],
)
def test_other_formats_are_read_where_pillow_reads_them(
    tmp_path: Path, suffix: str, feature: str, options: dict[str, Any]
) -> None:
    if not features.check(feature):
        assert suffix not in readable_suffixes()
        pytest.skip(f"this Pillow has no {feature}")
    Image.new("RGB", (32, 16), (200, 100, 50)).save(tmp_path / f"a{suffix}", **options)
    picture = read_rgb(tmp_path / f"a{suffix}")
    assert picture.shape == (16, 32, 3)
    assert np.abs(picture.astype(int) - [200, 100, 50]).max() <= 2  # colours are rounded twice on the way


def test_transparency_is_laid_on_mid_grey_by_its_share(tmp_path: Path) -> None:
    for name, alpha, expected in (("none", 255, [10, 20, 200]), ("half", 51, [104, 106, 142]), ("all", 0, [128] * 3)):
        Image.new("RGBA", (4, 4), (10, 20, 200, alpha)).save(tmp_path / f"{name}.png")
        # at 51 of 255 a fifth of the colour and four fifths of 128: 104.4, 106.4, 142.4
        assert only_pixel(tmp_path / f"{name}.png") == expected


def test_a_transparent_colour_or_palette_entry_is_transparent_too(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "colour.png", transparency=(1, 2, 3))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 250, 0, 0])
    palette.save(tmp_path / "palette.gif", transparency=1)
    assert only_pixel(tmp_path / "colour.png") == only_pixel(tmp_path / "palette.gif") == [128] * 3
    palette.save(tmp_path / "opaque.gif", transparency=0)
    assert only_pixel(tmp_path / "opaque.gif") == [250, 0, 0]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_lose_their_lower_byte(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    assert read_rgb(tmp_path / name).tolist() == [[[0] * 3, [0] * 3, [1] * 3, [255] * 3]]


def test_floats_of_0_to_1_become_bytes_and_others_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "a.tif")
    assert read_rgb(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]  # 127.5 to the even
    for values, told in (([[0, 2]], "float values of 0 to 2, not of 0 to 1"), ([[np.nan, 0]], "nan")):
        Image.fromarray(np.array(values, np.float32)).save(tmp_path / "b.tif")
        with pytest.raises(DataError, match=told):
            read_rgb(tmp_path / "b.tif")


def test_whole_numbers_beyond_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[-3, 70_000]], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="values of -3 to 70000, not of 0 to 65535; save it with 8 or 16 bits"):
        read_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.png"])
def test_a_picture_is_turned_upright_by_its_exif_data(tmp_path: Path, name: str) -> None:
    image = Image.new("RGB", (64, 32), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 32, 32))  # left half white
    exif = Image.Exif()
    exif[0x112] = 6  # to be shown turned a quarter clockwise: what is left comes to the top
    image.save(tmp_path / name, exif=exif)
    picture = read_rgb(tmp_path / name)
    assert picture.shape == (64, 32, 3)
    assert (picture[0, 0].tolist(), picture[-1, 0].tolist()) == ([255] * 3, [0] * 3)


def test_a_wrong_suffix_does_not_matter_and_a_program_is_never_started(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert only_pixel(tmp_path / "a.jpg") == [9, 8, 7]
    (tmp_path / "b.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(DataError, match="no picture of a known format"):
        read_rgb(tmp_path / "b.png")  # Pillow alone would hand it to Ghostscript


def bomb(side: int) -> bytes:
    """A PNG that says it has side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    row = zlib.compress(bytes(1 + 3 * side))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of a process's memory")
@pytest.mark.parametrize("side", [7_100, 10_000, 14_000])  # Pillow itself is silent, warns, refuses
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(side))
    program = """
import sys, warnings
from pathlib import Path
from flatnas.data.pictures import read_rgb
from flatnas.errors import DataError
warnings.simplefilter("ignore")
try:
    read_rgb(Path(sys.argv[1]))
except DataError as error:
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024, error)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "bomb.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    megabytes, reason = done.stdout.split(" ", 1)
    assert int(megabytes) < 130  # its pixels alone would be 150 MB and more
    assert "more than 50,000,000" in reason


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="no regular file"):
        read_rgb(tmp_path / "a.png")
    with pytest.raises(DataError, match="no such file"):
        read_rgb(tmp_path / "b.png")


def test_what_is_wrong_with_a_file_is_told(tmp_path: Path) -> None:
    noise: npt.NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"some text")
    for name, reason in (("cut", "truncated"), ("empty", "an empty file"), ("text", "no picture of a known format")):
        with pytest.raises(DataError, match=reason):
            read_rgb(tmp_path / f"{name}.jpg")


def test_a_header_is_read_without_the_picture(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    header = read_header(tmp_path / "a.png")
    assert (header.width, header.height, header.mode, header.format) == (30, 20, "L", "PNG")


def test_files_that_may_be_pictures_are_known_by_suffix_or_first_bytes(tmp_path: Path) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "IMG_001")
    (tmp_path / "notes").write_bytes(b"some text")
    names = ("IMG_001", "notes", "a.HEIC", "a.svg", "Thumbs.db", "labels.txt", "a.csv")
    assert [name for name in names if looks_like_a_picture(tmp_path / name)] == ["IMG_001", "a.HEIC", "a.svg"]


def test_grey_is_pillows_luma() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(to_grey(rgb)[..., 0], np.asarray(Image.fromarray(rgb).convert("L")))
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert to_grey(greys)[0, :, 0].tolist() == list(range(256))
