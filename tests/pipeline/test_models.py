"""Which model a command is asked about."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import pipeline
from pipeline.errors import PipelineError
from pipeline.files import sha256_of
from pipeline.models import find_model, model_file, released_models
from pipeline.report.run_report import RunReport
from pipeline.values import read_value


def a_run(directory: Path) -> Path:
    (directory / "model").mkdir(parents=True)
    for name in ("model.int8.tflite", "model.float.onnx"):
        (directory / "model" / name).write_bytes(b"bytes")
    return directory


def test_a_run_directory_stands_for_its_int8_file(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    assert model_file(run) == run / "model" / "model.int8.tflite"
    assert model_file(run / "model" / "model.float.onnx") == run / "model" / "model.float.onnx"


def test_a_directory_without_a_model_and_an_unknown_name_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="holds no run with a model: there is no"):
        model_file(tmp_path)
    with pytest.raises(PipelineError, match="there is no file cifar10-giant; the released models are"):
        model_file(Path("cifar10-giant"))
    with pytest.raises(PipelineError, match=r"there is no file net\.tflite$"):
        model_file(Path("net.tflite"))


@pytest.mark.parametrize("name", released_models())
def test_every_released_model_is_found_by_its_name_unless_a_file_is_called_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model(Path(name)) == released_models()[name]
    Path(name).write_bytes(b"mine")
    assert find_model(Path(name)) == Path(name)


@pytest.mark.parametrize("name", released_models())
def test_every_released_model_is_whole_and_its_report_is_about_its_bytes(name: str) -> None:
    directory = released_models()[name]
    verified = CliRunner().invoke(pipeline, ["verify", name], standalone_mode=False)
    assert verified.return_value == 0, verified.output
    report = read_value(RunReport, directory / "report.json")
    assert report.passed
    assert report.artifacts["model/model.int8.tflite"] == sha256_of(model_file(directory))
    assert report.audit.robustness.mce["int8"] is not None
    listed = CliRunner().invoke(pipeline, ["models"]).output
    assert name in listed
    assert f"{100 * report.audit.accuracy['int8']:.2f} %" in listed


def test_the_table_cuts_no_name() -> None:
    lines = CliRunner().invoke(pipeline, ["models"], standalone_mode=False).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["model", *released_models()]


def test_an_unknown_released_model_is_answered_with_the_known_ones() -> None:
    result = CliRunner().invoke(pipeline, ["models", "cifar10-giant"])
    assert isinstance(result.exception, PipelineError)
    assert "no released model 'cifar10-giant'" in str(result.exception)
