from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from flatnas.data.dataset import Images
from research.own_pictures.transfer import repeated

ROOT = Path(__file__).parents[3]


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "research.own_pictures", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def tints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reddish and bluish noise, the blue ones rare."""
    folder, rng = tmp_path_factory.mktemp("sets") / "tints", np.random.default_rng(0)
    for part, counts in (("train", (90, 30)), ("val", (20, 20)), ("test", (40, 40))):
        for channel, name in ((0, "red"), (2, "blue")):
            (folder / part / name).mkdir(parents=True)
            for number in range(counts[channel // 2]):
                pixels = rng.integers(0, 150, (32, 32, 3))
                pixels[..., channel] += 60
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / name / f"{number}.png")
    return folder


def test_an_unknown_set_and_an_unknown_way_are_refused(tmp_path: Path, tints: Path) -> None:
    done = run("build", "--out", tmp_path, "fashion-5", cwd=tmp_path)
    assert done.returncode == 2
    assert "no set 'fashion-5'; choose of fashion, fashion-500, person-96" in done.stderr
    done = run("compare", tints, "magic", "--seconds", "1", "--out", "o.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "no way 'magic'; choose adapt, head, whole, scratch, plain or one of cifar10-m7" in done.stderr
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["head", "whole", "scratch", "adapt", "cifar10-resnet8-class"])
def test_a_way_writes_a_line_with_its_figures(tmp_path: Path, tints: Path, way: str) -> None:
    done = run("compare", tints, way, "--seconds", "6", "--out", "o.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "o.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["float"]["images"] == record["int8"]["images"] == [40, 40]
    assert record["way"] == way
    if way != "adapt":  # which has few steps of its own
        assert record["float"]["balanced"] > 0.8


@pytest.mark.slow
def test_the_baseline_learns_what_is_easy_in_int8_too(tmp_path: Path, tints: Path) -> None:
    arguments = ("--macs", "1000000", "--seconds", "3", "--out", "o.jsonl")
    done = run("baseline", tints, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "o.jsonl").read_text())
    assert record["int8"]["balanced"] > 0.9
    assert record["cpu_seconds"] < 12


def test_pictures_of_rare_classes_are_repeated() -> None:
    labels = np.array([0] * 7 + [1] * 2)
    pixels = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 1, 3), np.uint8)
    more = repeated(Images(pixels, labels))
    assert np.bincount(more.labels).tolist() == [7, 8]  # 7 / 2 is rounded to 4
    assert more.pixels_nhwc[7:, 0, 0, 0].tolist() == [7, 7, 7, 7, 8, 8, 8, 8]
