"""A CSV file as a list of pictures: what it may say, and its faults by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from flatnas.data.csv_list import list_csv
from flatnas.data.registry import load_dataset
from flatnas.errors import DataError


def write(tmp_path: Path, text: str, pictures: int = 4) -> Path:
    (tmp_path / "p").mkdir(exist_ok=True)
    for i in range(pictures):
        (tmp_path / "p" / f"{i}.png").write_bytes(b"x")
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    return tmp_path / "list.csv"


def test_columns_are_named_in_any_order_and_values_may_be_quoted(tmp_path: Path) -> None:
    listing = list_csv(write(tmp_path, '\ufeffLabel,path\r\n"cat, small",p/0.png\r\n\r\ndog, p/1.png\r\n'))
    assert listing.class_names == ("cat, small", "dog")
    assert [(file.path, file.label, file.part, file.group) for file in listing.files] == [
        (tmp_path / "p/0.png", 0, None, None),
        (tmp_path / "p/1.png", 1, None, None),
    ]
    assert listing.faults == ()


def test_groups_and_parts_may_be_given(tmp_path: Path) -> None:
    text = "path,label,group,part\np/0.png,a,g1,train\np/1.png,b,g2,valid\np/2.png,a,g1,test\np/3.png,b,g3,train\n"
    listing = list_csv(write(tmp_path, text))
    assert [(file.group, file.part) for file in listing.files] == [
        ("g1", "train"),
        ("g2", "val"),
        ("g1", "test"),
        ("g3", "train"),
    ]
    by_path = list_csv(write(tmp_path, text), r"(\d)\.png")  # counts instead of the column
    assert [file.group for file in by_path.files] == ["0", "1", "2", "3"]


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
    text = (
        "path,label,part\np/0.png,a,train\np/9.png,b,test\n"
        "p/1.png,,train\np/2.png,b,testing\np/3.png,a\np/0.png,b,test\np/3.png,b,test\n"
    )
    assert list_csv(write(tmp_path, text)).faults == (
        f"{tmp_path}/list.csv: line 3: there is no file p/9.png, line 4: no label, "
        "line 5: the part must be train, val or test, not 'testing', line 6: 2 columns, not 3, "
        "line 7: p/0.png is listed in line 2 already",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label,grup\n", "there is no column 'grup'; did you mean 'group'"),
        ("path;label\n", "there is no column 'path;label'; columns are separated by commas"),
        ("path,part\n", "the first line must name the columns path,label and may name group and part; it lacks label"),
        ("", "it lacks path and label"),
        ("path,label,label\n", "each once"),
        ('path,label\n"p/0.png,a\n', "line 2 is no CSV"),
    ],
)
def test_a_file_that_is_no_such_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list_csv(write(tmp_path, text))


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes("path,label\nKälte.png,a\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"no text in UTF-8 \(byte 12\); save it as UTF-8"):
        list_csv(tmp_path / "list.csv")


def test_one_label_or_a_lacking_part_is_a_fault(tmp_path: Path) -> None:
    assert list_csv(write(tmp_path, "path,label,part\np/0.png,a,train\n")).faults == (
        f"{tmp_path}/list.csv: a data set needs at least two labels; found only 'a'",
        f"{tmp_path}/list.csv: no picture has the part test; name some, or leave out the column",
    )


def test_a_list_is_a_data_set(tmp_path: Path) -> None:
    from PIL import Image

    lines = ["path,label"]
    for i in range(20):
        Image.new("RGB", (32, 32), (i, 0, 0)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{'low' if i < 10 else 'high'}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    data = load_dataset(str(tmp_path / "list.csv"))
    assert data.class_names == ("high", "low")
    # of 10 a class: 2 for the test, 15 / 85 of 8 for validation
    assert (len(data.train), len(data.val), len(data.test)) == (14, 2, 4)
    for part in (data.train, data.val, data.test):
        assert ((part.pixels_nhwc[:, 0, 0, 0] < 10) == (part.labels == 1)).all()
