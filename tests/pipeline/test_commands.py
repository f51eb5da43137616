"""The command line as a user meets it: another process, its exit code, what it prints where."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pytest

from pipeline import cli
from pipeline.models import released_models

ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PIPELINE_DATA"}
SHARED = os.environ.get("PIPELINE_SHARED")
needs_shared = pytest.mark.skipif(SHARED is None, reason="PIPELINE_SHARED names no directory of MLPerf Tiny models")


def run(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    env = (
        ENVIRONMENT
        | {"XDG_CACHE_HOME": str(cwd / "cache"), "HOME": str(cwd), "PYTHONPATH": str(Path(__file__).parents[2])}
        | environment
    )
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_an_unexpected_error_has_a_code_of_its_own_and_leaves_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash() -> None:
        raise KeyError("a fault\x1b[31m of ours")

    monkeypatch.setitem(cli.pipeline.commands, "crash", click.Command("crash", callback=crash))
    monkeypatch.setattr(sys, "argv", ["pipeline", "crash"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: KeyError: ")
    (kept,) = tmp_path.glob("pipeline-error-*.txt")
    assert line.endswith(f"please report it with {kept}")
    assert "in crash" in kept.read_text()
    assert "Traceback (most recent call last)" in kept.read_text()


def refused(result: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The one line on stderr of a refusal."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == code, result.stderr
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert result.stdout == ""
    return lines[0]


@pytest.mark.parametrize("group", [(), ("supernet",), ("data",)])
def test_a_group_without_a_command_names_its_commands_in_one_line(group: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*group, cwd=tmp_path)
    commands = cli.pipeline.commands if not group else cli.pipeline.commands[group[0]].commands  # type: ignore[attr-defined]
    name = " ".join(("pipeline", *group))
    assert done.stdout == ""
    assert (
        refused(done)
        == f"error: {name}: name one of {', '.join(sorted(commands))}; '{name} --help' tells what each does"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["crosscheck", "absent"], "pip install 'flatnas-deploy[tensorflow]'"),
        (["run", "--target", "cortex-m77"], "no hardware profile 'cortex-m77'; did you mean 'cortex-m7'?"),
        (["run", "--target", "all"], "name them, as in a,b,c"),
        (["run", "--target", "cortex-m7", "--set", "budget.ram=1KiB"], "no key 'budget.ram'"),
        (["run", "--target", "cortex-m7", "--set", "budget.sram_bytes=64k"], "'64k' is not a size with a unit"),
        (["run", "--target", "cortex-m7", "--set", "budget.sram_bytes"], "write --set KEY=VALUE"),
        (["run", "--target", "cortex-m7", "--preset", "slow"], "'slow' is not one of"),
        (
            ["run", "--target", "cortex-m7", "--dataset", "imagenet"],
            "no data set 'imagenet'; choose one of cifar10, cifar100, digits",
        ),
        (["run", "--target", "cortex-m7", "--offline"], "CIFAR-10 was not found"),
        (
            ["run", "--target", "cortex-m7", "--dataset", "digits", "--resolution", "64"],
            "the images of 'digits' have 32 pixels, not 64",
        ),
        (
            ["supernet", "adapt", "--from", "absent.pth", "--dataset", "digits", "--out", "out"],
            "absent.pth can't be read: No such file or directory",
        ),
        (["run"], "Missing option '--target'"),
        (["fly"], "No such command 'fly'"),
        (["audit", "absent.tflite"], "there is no file absent.tflite"),
        (["audit", "absent.tflite", "--max-error", "fogg=0.1"], "no corruption 'fogg'"),
        (["audit", "absent.tflite", "--max-delta", "0.1"], "name one with --baseline"),
        (["fit", "absent.tflite", "--target", "all"], "there is no file absent.tflite"),
        (["parity", "absent.tflite"], "there is no file absent.tflite"),
        (["parity", "absent.tflite", "--onnx", "absent.onnx"], "'absent.onnx' does not exist"),
        (["run", "--target", "cortex-m7", "--alpha", "nan"], "nan is no finite number"),
        (["run", "--target", "cortex-m7", "--learning-rate", "inf"], "inf is no finite number"),
        (["supernet", "train", "--learning-rate", "nan", "--out", "out"], "nan is no finite number"),
        (["audit", "absent.tflite", "--max-delta", "nan"], "nan is no finite number"),
        (["audit", "absent.tflite", "--input-range", "1", "1"], "pixels 0 and 255 must be two different numbers"),
        (["audit", "absent.tflite", "--mean", "0,0,0", "--std", "inf,1,1"], "'--std': inf is no finite number"),
        (["run", "--target", "cortex-m7", "--seed", "4294967296"], "4294967296 is not in the range"),
        (["verify", "."], "holds no run"),
        (["report", "."], "holds no run"),
        (["targets", "cortex-m77"], "did you mean 'cortex-m7'?"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refused(run(*arguments, cwd=tmp_path))


def test_two_profiles_of_one_name_do_not_share_a_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "stm32f746g-disco"\nname = "stm32f746g-disco"\ndescription = "d"\n')
    result = run("run", "--target", "stm32f746g-disco,mine.toml", "--dataset", "digits", cwd=tmp_path)
    assert "are both named 'stm32f746g-disco', and would share runs/digits/stm32f746g-disco" in refused(result)
    assert not (tmp_path / "runs").exists()


def test_a_later_target_is_looked_at_before_the_first_is_run(tmp_path: Path) -> None:
    taken = tmp_path / "runs/digits/cortex-m7"
    taken.mkdir(parents=True)
    (taken / "thesis.tex").write_text("")
    result = run("run", "--target", "cortex-m4,cortex-m7", "--dataset", "digits", cwd=tmp_path)
    assert "runs/digits/cortex-m7 holds other files and no run" in refused(result)


def test_a_damaged_manifest_is_one_line(tmp_path: Path) -> None:
    for name in ("run.json", "manifest.json"):
        (tmp_path / name).write_text("{")
    assert "manifest.json is damaged: it is no JSON" in refused(run("verify", tmp_path, cwd=tmp_path))
    (tmp_path / "manifest.json").write_text("[]")
    assert "manifest.json is damaged: restore it" in refused(run("verify", tmp_path, cwd=tmp_path))


def test_a_run_that_is_being_made_again_has_no_verdict(tmp_path: Path) -> None:
    shutil.copytree(released_models()["cifar10-tiny"], tmp_path / "run")
    assert run("report", "run", cwd=tmp_path).returncode == 0
    (tmp_path / "run" / "manifest.json").unlink()  # as a stage does before it writes
    assert "the run is not finished" in refused(run("report", "run", cwd=tmp_path))


def test_a_budget_that_no_subnet_meets_names_the_tightest_resource(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pretrain = ["run", "--target", "cortex-m7", "--dataset", "digits", "--preset", "quick", "--out", "out"]
    result = run(*pretrain, "--set", "budget.sram_bytes=4KiB", "--set", "budget.macs=900K", cwd=tmp_path)
    assert result.returncode == 1
    line = result.stderr.strip().splitlines()[-1]
    assert "sram_bytes is the tightest, 4,096 allowed, and the smallest subnet of the space needs" in line
    assert not (tmp_path / "out").exists()  # nothing was trained


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "file").write_text("")
    result = run("run", "--target", "cortex-m7", "--dataset", "digits", "--out", "file/run", cwd=tmp_path)
    assert result.returncode == 2
    assert "can't write to file/run" in result.stderr.splitlines()[-1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device that is always full")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "pipeline", "targets", "--json"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines()[0].startswith("error: can't write: No space left on device; mend that")
    assert "Traceback" not in result.stderr


def test_a_folder_with_one_class_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "mine" / "cats").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "mine" / "cats" / "a.png")
    assert "at least two classes" in refused(run("run", "--target", "cortex-m7", "--dataset", "mine", cwd=tmp_path))


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(1000))
    message = refused(run("data", "verify", "--data-dir", tmp_path, cwd=tmp_path))
    assert "cifar-10-binary.tar.gz" in message


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "told to stop"), (signal.SIGHUP, 129, "told to stop")],
)
def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path: Path, number: int, code: int, said: str) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "pipeline", "run", "--target", "cortex-m7", "--dataset", "digits", "--out", "out"]
    env = ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a CI job may inherit SIG_IGN
    )
    while not list(tmp_path.glob("out/.work/*")) and process.poll() is None:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert stderr.strip().splitlines()[-1] == f"error: {said}; call the same command again to go on"


def test_targets_lists_every_profile_as_json(tmp_path: Path) -> None:
    result = run("targets", "--json", cwd=tmp_path)
    found = {profile["name"]: profile for profile in json.loads(result.stdout)}
    assert found["cortex-m7"]["budget"]["latency_ms"] == 100
    assert "STM32F746NG" in found["cortex-m7"]["sources"]["clock_hz"]["text"]
    assert "216" in run("targets", "cortex-m7", cwd=tmp_path).stdout


@needs_shared
def test_fit_answers_for_a_foreign_model_with_verdict_and_exit_code(tmp_path: Path) -> None:
    assert SHARED is not None
    model = Path(SHARED) / "data" / "mlperf-tiny-resnet8" / "int8.tflite"
    result = run("fit", model, "--target", "cortex-m7,rp2040", "--json", cwd=tmp_path)
    big, small = json.loads(result.stdout)
    assert result.returncode == 1
    assert big["footprint"]["macs"] == 12_501_632
    assert (big["target"], big["complete"], big["runtime"]) == ("cortex-m7", True, "firmware")
    assert big["instructions"] == pytest.approx(15.50e6, rel=0.05)  # what the emulated core counted
    tflm = json.loads(run("fit", model, "--target", "cortex-m7", "--runtime", "tflm", "--json", cwd=tmp_path).stdout)
    assert (tflm[0]["footprint"]["flash_bytes"], tflm[0]["instructions"]) == (98_496, None)
    assert not small["fits"]
    assert {v["resource"] for v in small["violations"]} >= {"macs", "latency_ms"}
    assert all(v["needs"] > v["has"] for v in small["violations"])
    assert run("fit", model, "--target", "raspberry-pi-4", cwd=tmp_path).returncode == 0


@needs_shared
def test_audit_of_resnet8_gives_the_contracts_json_and_gates_decide_the_exit_code(tmp_path: Path) -> None:
    assert SHARED is not None
    models = Path(SHARED) / "data" / "mlperf-tiny-resnet8"
    arguments = [
        "audit",
        models / "int8.tflite",
        "--baseline",
        models / "float.tflite",
        "--limit",
        "20",
        "--dataset",
        "digits",  # a classifier of objects guesses digits: what counts here is the form of the answer
    ]
    passed = run(*arguments, "--json", "a.json", "--min-accuracy", "0", cwd=tmp_path)
    assert passed.returncode == 0, passed.stderr
    result = json.loads((tmp_path / "a.json").read_text())
    assert {"accuracy", "robustness", "gates"} <= set(result)
    assert 0 <= result["accuracy"]["model"] < 0.5
    assert 0 < result["robustness"]["mce"]["model"] < 1
    assert set(result["robustness"]["per_corruption"]["contrast"]) == {"model", "baseline"}
    assert result["robustness"]["images"] == 20
    low, high = result["robustness"]["delta"]["ci95"]
    assert low <= result["robustness"]["delta"]["mean"] <= high
    failed = run(
        "audit",
        models / "int8.tflite",
        "--limit",
        "20",
        "--min-accuracy",
        "0.999",
        "--json",
        "-",
        "--dataset",
        "digits",
        cwd=tmp_path,
    )
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["gates"][0]["passed"] is False


@needs_shared
def test_a_model_that_wants_more_than_pictures_is_refused_with_its_inputs(tmp_path: Path) -> None:
    model = Path(SHARED or "") / "cases" / "models" / "two_inputs.onnx"
    message = refused(run("audit", model, "--dataset", "digits", "--limit", "20", cwd=tmp_path))
    assert "two_inputs.onnx has the inputs x, meta; a classifier takes pictures alone" in message


@needs_shared
@pytest.mark.parametrize("arguments", [["parity"], ["audit", "--dataset", "digits", "--limit", "20"]])
def test_a_file_for_several_pictures_at_a_time_says_how_to_convert_it(tmp_path: Path, arguments: list[str]) -> None:
    model = Path(SHARED or "") / "cases" / "models" / "batch4.tflite"
    message = refused(run(*arguments, model, cwd=tmp_path))
    assert "batch4.tflite takes 4 pictures at a time: convert it with batch size 1" in message


@needs_shared
def test_parity_of_resnet8_holds_and_a_float_model_is_refused(tmp_path: Path) -> None:
    assert SHARED is not None
    models = Path(SHARED) / "data" / "mlperf-tiny-resnet8"
    assert "is not an int8 model" in refused(run("parity", models / "float.tflite", "--images", "2", cwd=tmp_path))
    result = run("parity", models / "int8.tflite", "--images", "10", cwd=tmp_path)
    assert "tflm" in result.stdout
