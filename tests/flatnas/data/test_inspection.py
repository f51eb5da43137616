"""What `pipeline data check` finds: each fault planted once, and nothing in a sound folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flatnas.data.findings import Finding
from flatnas.data.image_folder import open_folder, size_of
from flatnas.data.inspection import ClassCount, Inspected, Quartiles, inspect
from flatnas.data.preparation import AS_THEY_ARE, Preparation
from flatnas.space.spaces import MCU_RESOLUTIONS


def looked_at(folder: Path, preparation: Preparation = AS_THEY_ARE) -> Inspected:
    opened = open_folder(folder, preparation.group_by)
    return inspect(folder, opened, preparation, size_of(opened, preparation, MCU_RESOLUTIONS))


def noise(seed: int, width: int = 32, height: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def write(folder: Path, counts: dict[str, int], first: int = 0) -> Path:
    """Classes of pictures that have nothing in common."""
    for c, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            noise(first + 10_000 * c + i).save(folder / name / f"{i:03}.png")
    return folder


def kinds(found: Inspected) -> dict[str, Finding]:
    findings = found.inspection.findings
    assert len({finding.kind for finding in findings}) == len(findings)
    return {finding.kind: finding for finding in findings}


def test_a_sound_folder_has_no_finding(tmp_path: Path) -> None:
    found = looked_at(write(tmp_path, {"cat": 140, "dog": 140})).inspection
    assert found.findings == ()
    assert found.usable
    assert found.classes == (ClassCount("cat", 98, 21, 21, 0), ClassCount("dog", 98, 21, 21, 0))
    assert (found.pictures, found.size_hw, found.mirrors) == (280, (32, 32), True)
    assert (found.modes, found.formats) == ({"RGB": 280}, {"PNG": 280})


def test_sizes_modes_and_formats_are_counted(tmp_path: Path) -> None:
    write(tmp_path, {"left": 3, "right": 3})
    for i, width in enumerate((40, 50, 60, 70)):
        noise(i + 70, width, 20).convert("L").save(tmp_path / "left" / f"x{i}.bmp")
    found = looked_at(tmp_path).inspection
    assert found.widths == Quartiles(32, 32, 32, 50, 70)
    assert found.heights == Quartiles(20, 20, 32, 32, 32)
    assert (found.modes, found.formats) == ({"L": 4, "RGB": 6}, {"BMP": 4, "PNG": 6})
    assert not found.mirrors


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    write(tmp_path / "train", {"cat": 300, "dog": 25})
    write(tmp_path / "test", {"cat": 30, "dog": 30}, first=5000)
    cat, dog, test = tmp_path / "train" / "cat", tmp_path / "train" / "dog", tmp_path / "test" / "dog"
    (cat / "broken.png").write_bytes(b"?")
    (cat / "a.heic").write_bytes(b"?")
    noise(77_000, 15, 15).save(cat / "tiny.png")
    noise(77_001, 121, 40).save(cat / "long.png")
    Image.new("RGB", (32, 32), (9, 9, 9)).save(cat / "plain.png")
    noise(0).save(test / "copy.bmp")
    noise(1).save(dog / "mislabelled.bmp")
    noise(2).point(lambda value: min(value, 250) + 5).save(test / "nearly.png")
    found = looked_at(tmp_path, Preparation(group_by=r"[^.]+"))
    told = {kind: (f.fails, f.count, f.cases[:1]) for kind, f in kinds(found).items()}
    assert told == {
        "unreadable": (True, 1, (("train/cat/broken.png (no picture of a known format)",),)),
        "left_out": (False, 1, (("train/cat/a.heic (.heic is not read)",),)),
        "tiny": (False, 1, (("train/cat/tiny.png",),)),
        "odd_shape": (False, 1, (("train/cat/long.png",),)),
        "one_colour": (False, 1, (("train/cat/plain.png",),)),
        "copies_across_parts": (False, 1, (("test/dog/copy.bmp", "train/cat/000.png"),)),
        "copies_across_classes": (False, 2, (("test/dog/copy.bmp", "train/cat/000.png"),)),
        "near_copies_across_parts": (False, 1, (("test/dog/nearly.png", "train/cat/002.png"),)),
        "near_copies_across_classes": (False, 1, (("test/dog/nearly.png", "train/cat/002.png"),)),
        "torn_groups": (False, 30, (("000",),)),
        "few_in_val": (False, 1, (("dog (4)",),)),
    }
    assert not found.inspection.usable


def test_very_unequal_classes_are_a_warning(tmp_path: Path) -> None:
    found = looked_at(write(tmp_path, {"good": 210, "bad": 20}))
    assert kinds(found)["imbalance"].text == ("class 'good' has 210 pictures, class 'bad' 20: more than 10 to 1")
    assert kinds(found)["few_in_test"].cases == (("bad (3)",),)
    assert found.inspection.usable


@pytest.mark.parametrize(
    ("counts", "group_by", "kind", "text"),
    [
        ({"cat": 9}, None, "layout", "at least two classes; found only 'cat'"),
        ({"cat": 9, "dog": 2}, None, "parts", "class 'dog' has no picture left for the training part"),
        ({"cat": 9, "dog": 9}, "folder", "parts", "class 'cat' has 1 group (.), and 3 parts need one each"),
        ({"cat": 9, "dog": 9}, "x", "layout", "groups by 'x' match nothing in cat/000.png"),
    ],
)
def test_what_stops_a_run_fails(
    tmp_path: Path, counts: dict[str, int], group_by: str | None, kind: str, text: str
) -> None:
    found = looked_at(write(tmp_path, counts), Preparation(group_by=group_by)).inspection
    finding = next(finding for finding in found.findings if finding.fails)
    assert finding.kind == kind
    assert text in finding.text
    assert not found.usable


def test_an_empty_folder_is_looked_at_too(tmp_path: Path) -> None:
    found = looked_at(tmp_path).inspection
    assert (found.pictures, found.widths, found.classes, found.usable) == (0, None, (), False)


def test_pictures_of_a_fixed_camera_do_not_flood_the_answer(tmp_path: Path) -> None:
    scene = np.asarray(noise(5))
    for name in ("day", "night"):
        (tmp_path / name).mkdir()
        for i in range(60):
            changed = scene.copy()
            changed[0, i % 30] = 255 * (name == "day")
            changed[1, i // 30] = 0
            Image.fromarray(changed).save(tmp_path / name / f"{i}.png")
    finding = kinds(looked_at(tmp_path))["near_copies_across_classes"]
    assert finding.count > 3000  # of 60 x 60 pairs; a few may be equal
    assert len(finding.cases) == 200


def test_thumbnails_show_what_a_net_sees(tmp_path: Path) -> None:
    write(tmp_path, {"cat": 5, "dog": 5})
    found = looked_at(tmp_path, Preparation(size_hw=(64, 128), channels=1, resize="letterbox"))
    assert {thumbnail.pixels_hwc.shape for thumbnail in found.thumbnails} == {(32, 64, 1)}
    assert {thumbnail.pixels_hwc[0, 0, 0] for thumbnail in found.thumbnails} == {128}
