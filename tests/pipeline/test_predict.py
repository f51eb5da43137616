"""`pipeline predict`: the shipped bytes on pictures of any size, by name, folder and stdin."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from flatnas.data.digits import load_digits
from pipeline import predict
from pipeline.cli import pipeline
from pipeline.errors import PipelineError
from pipeline.models import released_models

NAME = next(iter(released_models()))
MODEL = released_models()[NAME] / "model" / "model.int8.tflite"
SHARED = os.environ.get("PIPELINE_SHARED")
CASES = Path(SHARED or "") / "cases" / "models"
needs_shared = pytest.mark.skipif(SHARED is None, reason="PIPELINE_SHARED names no directory with the cases")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures in class folders, one of them wide and with transparency."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8)
    for name, size in (("cat", (96, 48)), ("ship", (32, 32))):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).resize(size).save(tmp_path / name / "1.png")
    return tmp_path


def test_a_released_model_answers_as_its_bytes_do_on_the_interpreter(folder: Path) -> None:
    from export.ops.interpreter import Interpreter
    from export.read_tflite import read_tflite

    picture = folder / "ship" / "1.png"
    found = predict(NAME, [picture], top=10)
    interpreter = Interpreter(read_tflite(MODEL))
    image = np.asarray(Image.open(picture))
    if found.size != 32:
        import cv2

        image = cv2.resize(image, (found.size, found.size), interpolation=cv2.INTER_AREA)
    logits = interpreter.run((image[None].astype(np.int16) - 128).astype(np.int8))[0].ravel()
    best = np.flatnonzero(logits == logits.max())
    assert found.predictions[0].name in {found.labels[i] for i in best}
    assert sum(guess.probability for guess in found.predictions[0].guesses) == pytest.approx(1)


def test_a_folder_counts_right_and_wrong_by_its_class_folders(folder: Path) -> None:
    done = CliRunner().invoke(pipeline, ["predict", NAME, str(folder), "--json", "-"], standalone_mode=False)
    assert done.exception is None
    answer = json.loads(done.stdout)
    assert [p["true"] for p in answer["predictions"]] == ["cat", "ship"]
    assert sum(n for row in answer["confusion"].values() for n in row.values()) == 2
    assert answer["accuracy"] in (0, 0.5, 1)


def test_a_picture_comes_on_stdin_and_goes_out_as_csv(folder: Path) -> None:
    content = (folder / "cat" / "1.png").read_bytes()
    done = CliRunner().invoke(pipeline, ["predict", NAME, "-", "--csv", "-"], input=content, standalone_mode=False)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["picture", "class", "probability"]
    assert rows[1][0] == "-"
    assert 0 < float(rows[1][2]) <= 1


def test_the_input_that_a_device_must_be_given_is_pixel_minus_128(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), (255, 0, 130)).save(tmp_path / "flat.png")
    arguments = ["predict", NAME, str(tmp_path / "flat.png"), "--input", str(tmp_path / "x.npy")]
    assert CliRunner().invoke(pipeline, arguments, standalone_mode=False).exception is None
    x = np.load(tmp_path / "x.npy")
    assert x.dtype == np.int8
    assert np.unique(x.reshape(-1, 3), axis=0).tolist() == [[127, -128, 2]]


def test_all_unreadable_pictures_are_named_at_once(folder: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (folder / name).write_bytes(b"no picture")
    with pytest.raises(PipelineError, match=r"2 of 4 pictures can't be read: .*a\.png: .*b\.jpg: "):
        predict(NAME, [folder])
    with pytest.raises(PipelineError, match=r"there is no picture or folder .*absent\.png"):
        predict(NAME, [folder / "absent.png"])
    (folder / "empty").mkdir()
    with pytest.raises(PipelineError, match="no picture: name picture files"):
        predict(NAME, [folder / "empty"])


@needs_shared
def test_a_model_with_one_output_is_no_classifier(folder: Path) -> None:
    with pytest.raises(PipelineError, match="gives one number per picture"):
        predict(CASES / "binary_sigmoid.tflite", [folder])


def test_a_model_without_labels_beside_it_answers_by_number(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(MODEL.read_bytes())
    Image.fromarray(load_digits().test.pixels_nhwc[0]).save(tmp_path / "digit.png")
    found = predict(tmp_path / "m.tflite", [tmp_path / "digit.png"])
    assert found.labels == tuple(map(str, range(10)))
    assert found.predictions[0].true is None
