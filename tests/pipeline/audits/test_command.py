"""`pipeline audit`, `compare` and `data` as a user meets them: another process, its exit code, what it prints where."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.layers import configured
from pipeline.values import plain

SHARED = os.environ.get("PIPELINE_SHARED")
FEW = ("--dataset", "digits", "--limit", "20", "--corruptions", "contrast,fog")


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command, with the cache of these tests."""
    environment = {k: v for k, v in os.environ.items() if k != "PIPELINE_DATA"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a refusal."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 2, result.stderr
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert result.stdout == ""
    return lines[0]


def test_every_output_is_written_and_gates_decide_the_exit_code(digit_models: Any, tmp_path: Path) -> None:
    files = ("--json", "a.json", "--junit", "a.xml", "--html", "a.html", "--predictions", "a.npz")
    gates = ("--max-error", "fog=0.9", "--min-accuracy", "0.5", "--max-delta", "0.5", "--min-recall", "3=0.1")
    models = (digit_models.int8_tflite, "--baseline", digit_models.float_onnx)
    passed = run("audit", *models, *FEW, *files, *gates, cwd=tmp_path)
    assert passed.returncode == 0, passed.stderr
    result = json.loads((tmp_path / "a.json").read_text())
    assert [gate["name"] for gate in result["gates"]] == [
        "accuracy",
        "recall of 3",
        "error under fog",
        "delta (upper end)",
    ]
    assert (tmp_path / "a.xml").read_text().count("<testcase") == 4
    assert "<!doctype html>" in (tmp_path / "a.html").read_text()
    failed = run("audit", *models, *FEW, "--max-error", "fog=0", "--json", "-", cwd=tmp_path)
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["gates"][0]["passed"] is False
    compared = run("compare", "a.npz", "a.npz", "--json", "-", cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["robustness"]["delta"]["mean"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-error", "fogg=0.3"], "--max-error: no corruption 'fogg'; did you mean 'fog'?"),
        (["--min-recall", "33=0.3", *FEW], "--min-recall: no class '33'"),
        (["--max-error", "fog=2"], "the limit must be a number between 0 and 1"),
        (["--corruptions", "fog,mist"], "--corruptions: no corruption 'mist'"),
        (["--corruptions", "fog", "--max-mce", "0.3"], "--max-mce needs all 15"),
        (["--max-delta", "0.1"], "name one with --baseline"),
        (["--mean", "0.5,0.5,0.5"], "--mean and --std go together"),
        (["--mean", "0.5", "--std", "1,1,1"], "--mean: write three finite numbers"),
        (["--mean", "0,0,0", "--std", "1,0,1"], "must be positive"),
        (["--mean", "0,0,0", "--std", "1,1,1", "--input-range", "0", "1"], "not with --input-range"),
        (["--baseline", "x.onnx", "--baseline-std", "1,1,1"], "--baseline-mean and --baseline-std go together"),
        (["--baseline-layout", "nchw"], "name one with --baseline"),
        (["--cache-limit", "4"], "--cache-limit: '4' is not a size with a unit"),
        (["--calibration", "0"], "'--calibration': 0 is not in the range x>=1"),
        (["--source", "official", "--dataset", "digits"], "official corrupted files of digits are not on this machine"),
        (["--runner", "onnxruntime", *FEW], "onnxruntime can't run int8.tflite; choose litert"),
        (["--layout", "nchw", *FEW], "wanted a square RGB image"),
        (["--calibration", "8", *FEW], "an int8 file can't be: give a float ONNX"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(
    digit_models: Any, tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert message in refused(run("audit", digit_models.int8_tflite, *arguments, cwd=tmp_path))


def test_the_baseline_has_a_normalisation_of_its_own(digit_models: Any, tmp_path: Path) -> None:
    halves = ("--baseline-mean", "0.5,0.5,0.5", "--baseline-std", "0.5,0.5,0.5")
    model = digit_models.undeclared_onnx  # expects -1 to 1
    result = run("audit", model, "--baseline", model, *halves, *FEW, "--json", "-", cwd=tmp_path)
    accuracy = json.loads(result.stdout)["accuracy"]
    assert accuracy["model"] < 0.3
    assert accuracy["baseline"] > 0.8


def test_a_run_is_audited_on_pictures_of_its_own_resolution(digit_models: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in range(10):
        (tmp_path / "pictures" / str(name)).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / str(name) / f"{i}.png")
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    shutil.copy(digit_models.int8_tflite, model / "model.int8.tflite")
    shutil.copy(digit_models.float_onnx, model / "model.float.onnx")
    config = plain(configured({"target": "cortex-m7", "dataset": "pictures", "resolution": 24}))
    (tmp_path / "run" / "run.json").write_text(json.dumps({"config": config}))
    few = ("--dataset", "pictures", "--corruptions", "contrast", "--json", "-")
    for audited, size in (("run", "24x24"), (digit_models.int8_tflite, "40x40")):
        result = run("audit", audited, *few, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        warnings = json.loads(result.stdout)["warnings"]
        assert f"these of {size} are corrupted at their own size" in warnings[0]
        assert "beside" not in " ".join(warnings)  # the model's own file on other kernels is no model of the user's


def test_files_that_are_no_usable_models_are_refused_in_one_line(digit_models: Any, tmp_path: Path) -> None:
    whole = digit_models.int8_tflite.read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "cut.onnx").write_bytes(digit_models.float_onnx.read_bytes()[:5000])
    assert "cut.tflite is damaged" in refused(run("audit", "cut.tflite", *FEW, cwd=tmp_path))
    assert "empty.tflite is not a TFLite model" in refused(run("audit", "empty.tflite", *FEW, cwd=tmp_path))
    assert "onnxruntime can't load cut.onnx" in refused(run("audit", "cut.onnx", *FEW, cwd=tmp_path))
    assert "there is no file absent.tflite" in refused(run("audit", "absent.tflite", *FEW, cwd=tmp_path))
    assert "holds no run with a model" in refused(run("audit", ".", *FEW, cwd=tmp_path))


def test_a_model_that_is_no_image_classifier_is_told_what_the_audit_takes(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 16]) for n in ("sound", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["sound"], ["y"], name="r")], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "sound.onnx").write_bytes(model.SerializeToString())
    message = refused(run("audit", "sound.onnx", *FEW, cwd=tmp_path))
    assert "input (1, 16), output of rank 2; wanted a square RGB image and a row of scores" in message


def test_an_operator_that_the_runtime_lacks_is_named_with_the_runner_that_has_it(
    digit_models: Any, tmp_path: Path
) -> None:
    """The classifier with an operator number that no kernel is registered for."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    model = schema.ModelT.InitFromPackedBuf(digit_models.int8_tflite.read_bytes(), 0)
    strange = schema.OperatorCodeT()
    strange.builtinCode, strange.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, 32
    strange.customCode, strange.version = b"MyOwnLayer", 1
    model.operatorCodes[model.subgraphs[0].operators[0].opcodeIndex] = strange
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "strange.tflite").write_bytes(bytes(builder.Output()))
    message = refused(run("audit", "strange.tflite", *FEW, cwd=tmp_path))
    assert "LiteRT lacks the operator MyOwnLayer of strange.tflite; no other runner here has it" in message


def test_an_output_that_cannot_be_written_is_refused_with_its_name(digit_models: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("audit", digit_models.float_onnx, *FEW, "--html", "file/a.html", cwd=tmp_path)
    assert result.returncode == 2
    assert "can't write file/a.html" in result.stderr.splitlines()[-1]


def test_corrupted_pictures_are_written_as_the_audit_sees_them(tmp_path: Path) -> None:
    from flatnas.corruptions import corrupt
    from flatnas.data.digits import load_digits

    result = run("data", "corrupt", "fog", "3", "fog.npy", "--dataset", "digits", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    test = load_digits().test.pixels_nhwc
    np.testing.assert_array_equal(np.load(tmp_path / "fog.npy"), corrupt(test, "fog", 3, range(len(test))))
    assert "did you mean 'fog'?" in refused(
        run("data", "corrupt", "fogg", "3", "x.npy", "--dataset", "digits", cwd=tmp_path)
    )
