"""Which files a folder holds for a data set, and what is named because it is left out."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from flatnas.data.listing import Listing, list_folder


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def listed(listing: Listing) -> list[str]:
    return [
        f"{listing.class_names[file.label]} {file.part or '-'} {file.path.relative_to(listing.root)}"
        for file in listing.files
    ]


def left_out(listing: Listing) -> dict[str, str]:
    return {str(one.path.relative_to(listing.root)): one.reason for one in listing.left_out}


def test_a_class_is_a_folder_and_may_have_folders_below(tmp_path: Path) -> None:
    listing = list_folder(touch(tmp_path, "cat/b.png", "cat/a/c.tiff", "dog/a.JPG"))
    assert listed(listing) == ["cat - cat/a/c.tiff", "cat - cat/b.png", "dog - dog/a.JPG"]
    assert (listing.faults, listing.left_out) == ((), ())


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_parts_are_taken_as_they_are_given(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "train/cat/a.png", "train/dog/a.png", f"{name}/cat/b.png", f"{name}/dog/b.png")
    listing = list_folder(touch(tmp_path, "test/cat/c.png", "test/dog/c.png"))
    assert sorted(listed(listing)) == sorted(
        f"{label} {part} {folder}/{label}/{file}.png"
        for label in ("cat", "dog")
        for part, folder, file in (("train", "train", "a"), ("val", name, "b"), ("test", "test", "c"))
    )
    assert listing.faults == ()


def test_what_may_be_a_picture_and_is_not_taken_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "cat/a.png", "dog/a.png", "cat/b.heic", "cat/b.svg", "loose.png", "cat/notes.txt", "cat/.c.png")
    (tmp_path / "dog" / "IMG_7").write_bytes(b"\xff\xd8\xff\xe0")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    (tmp_path / "dog" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "dog" / "circle").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "dog" / "s.png"))
        listing = list_folder(tmp_path)
    assert listed(listing) == ["cat - cat/a.png", "dog - dog/a.png"]
    assert left_out(listing) == {
        "loose.png": "in no class folder",
        "cat/b.heic": ".heic is not read",
        "cat/b.svg": ".svg is not read",
        "dog/IMG_7": "no suffix is not read",
        "dog/pipe.png": "no regular file",
        "dog/lost.png": "no regular file",
        "dog/s.png": "no regular file",
        "dog/circle": "a link to a folder",
    }


def test_folders_beside_train_and_test_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/a.png", "train/dog/a.png", "test/cat/b.png", "test/dog/b.png", "extra/cat/c.png")
    listing = list_folder(touch(tmp_path, "test/loose.png"))
    assert left_out(listing) == {"extra": "beside train/ and test/", "test/loose.png": "in no class folder"}
    assert len(listing.files) == 4


def test_all_faults_of_a_layout_are_told_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/a.png", "train/dog/a.png", "val/cat/b.png", "valid/cow/b.png")
    assert list_folder(tmp_path).faults == (
        f"{tmp_path} has train/ but no test/; add it, or put the class folders directly below",
        f"{tmp_path} has val/ and valid/; keep one of them",
        f"{tmp_path}/val: a data set needs one folder per class and at least two classes; found only 'cat'",
        f"{tmp_path}/valid: a data set needs one folder per class and at least two classes; found only 'cow'",
        f"{tmp_path}: train/ and val/ and valid/ must have the same class folders; not all of them have cat, cow, dog",
    )


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        (r"video\d+", ["video1", "video1", "video22"]),
        (r"video(\d+)", ["1", "1", "22"]),
        ("folder", [".", "x", "."]),
        (None, [None, None, None]),
    ],
)
def test_groups_come_from_the_path_below_the_class(tmp_path: Path, group_by: str | None, groups: list[str]) -> None:
    touch(tmp_path, "cat/video1-a.png", "cat/x/video1-b.png", "dog/video22.png")
    assert [file.group for file in list_folder(tmp_path, group_by).files] == groups


def test_files_that_belong_to_no_group_are_named(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cat/{i}.png" for i in range(8)), "dog/video1.png")
    assert list_folder(tmp_path, "video|cat").faults == (
        f"{tmp_path}: groups by 'video|cat' match nothing in cat/0.png, cat/1.png, cat/2.png, cat/3.png, cat/4.png "
        "and 3 more",
    )
