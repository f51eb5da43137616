"""`pipeline data check`: exit codes, JSON, the page, and one line for wrong use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flatnas.data.image_folder import open_folder
from flatnas.data.inspection import inspect
from flatnas.data.preparation import AS_THEY_ARE
from pipeline.report.data_page import LARGEST_BYTES, render_data_page

ROOT = Path(__file__).parents[2]


def check(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "data", "check", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def write(folder: Path, classes: int, count: int, side: int = 32) -> Path:
    rng = np.random.default_rng(0)
    for c in range(classes):
        (folder / f"class <{c}>").mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"class <{c}>" / f"{i:03}.png")
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "sound", 2, 140)


def test_a_sound_folder_is_exit_code_0(sound: Path) -> None:
    done = check("sound", "--json", "found.json", "--html", "page.html", cwd=sound.parent)
    assert done.returncode == 0, done.stderr
    assert "✓ sound: 280 pictures of 2 classes" in done.stdout
    assert "nothing is wrong with them" in done.stdout
    found = json.loads((sound.parent / "found.json").read_text())
    assert (found["usable"], found["pictures"], found["findings"]) == (True, 280, [])
    assert found["classes"][0] == {"name": "class <0>", "train": 98, "val": 21, "test": 21, "groups": 0}
    assert "Nothing is wrong with them" in (sound.parent / "page.html").read_text()


def test_what_stops_a_run_is_exit_code_1_and_json_alone_goes_to_stdout(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", 2, 8)
    (folder / "class <1>" / "broken.jpg").write_bytes(b"?")
    done = check("mine", "--json", "-", "--group-by", r"\d\.png|broken", "--resolution", "48x40", cwd=tmp_path)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["usable"] is False
    assert found["size_hw"] == [40, 48]
    assert [row["groups"] for row in found["classes"]] == [8, 8]
    assert found["findings"][0]["kind"] == "unreadable"
    assert "✗ 1 can't be read: class <1>/broken.jpg (no picture of a known format)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "absent is no folder of images and no list of them (.csv)"),
        (["sound", "--resolution", "64*48"], "'64*48' is no size; write one such as 64, or 64x48 for width and height"),
        (["sound", "--resolution", "0"], "'0' is no size"),
        (["sound", "--resolution", "500"], "takes images of 16 to 224 pixels, not of 500"),
        (["sound", "--group-by", "("], "groups by '(': no regular expression"),
        (["sound", "--html", "sound/class <0>/000.png/page.html"], "can't write sound/class <0>/000.png/page.html: "),
        (["sound", "--json", "sound"], "can't write sound: "),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(sound: Path, arguments: list[str], message: str) -> None:
    done = check(*arguments, cwd=sound.parent)
    assert done.returncode == 2
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1


class Page(HTMLParser):
    """Counts pictures, and collects whatever would load something from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures = 0
        self.elsewhere: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href"):
                inside = bool(value) and str(value).startswith("data:image/jpeg;base64,")
                self.pictures += inside
                self.elsewhere += [] if inside else [str(value)]


def test_the_page_shows_pictures_and_loads_nothing(sound: Path) -> None:
    (sound / "class <0>" / "x.png").write_bytes((sound / "class <1>" / "000.png").read_bytes())
    try:
        text = render_data_page(inspect(sound, open_folder(sound), AS_THEY_ARE, (32, 32)))
    finally:
        (sound / "class <0>" / "x.png").unlink()
    page = Page(text)
    assert page.pictures == 2 * 16 + 2  # of each class, and the two that are the same
    assert page.elsewhere == []
    assert "the same picture in several classes" in text
    assert "class &lt;0&gt;" in text
    assert "class <0>" not in text


def test_the_page_stays_below_two_megabytes(tmp_path: Path) -> None:
    """Noise at the largest thumbnails' size: 700 classes, 4 kB a picture."""
    folder = write(tmp_path / "many", 700, 3, side=64)
    text = render_data_page(inspect(folder, open_folder(folder), AS_THEY_ARE, (64, 64)))
    assert len(text.encode()) <= LARGEST_BYTES
    assert Page(text).pictures > 200
    assert len(re.findall("<h3>", text)) == 700
