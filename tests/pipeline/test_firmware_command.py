"""`pipeline firmware`: what it writes, how it answers."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from export.graph import Graph, Node, Options, QParams, Tensor
from export.write.to_tflite import to_tflite
from flatnas.data.dataset import Dataset, Images
from hardware_profiles.profile import load_profile
from pipeline.files import write_bytes, write_json
from pipeline.layers import configured
from pipeline.progress import Reporter
from pipeline.results.model_facts import ModelFacts, ModelInput, ModelOutput
from pipeline.runs.facts import Origin
from pipeline.runs.runner import run_stages
from pipeline.stages import firmware
from pipeline.values import write_value

ROOT = Path(__file__).parents[2]


def pipeline(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "firmware", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def classifier(side: int = 8, channels: int = 4) -> bytes:
    """A convolution to ten classes, pooled."""
    rng = np.random.default_rng(0)

    def activation(name: str, shape: tuple[int, ...], scale: float) -> Tensor:
        return Tensor(name, shape, "int8", QParams(np.array([scale], np.float32), np.array([0])))

    weights = rng.integers(-127, 128, (channels, 3, 3, 3)).astype(np.int8)
    scales = QParams(np.full(channels, 0.01, np.float32), np.zeros(channels, np.int64))
    tensors = [
        activation("image", (1, side, side, 3), 1 / 128),
        Tensor("w", weights.shape, "int8", scales, weights),
        Tensor("b", (channels,), "int32", None, np.zeros(channels, np.int32)),
        activation("map", (1, side, side, channels), 0.05),
        activation("scores", (1, 1, 1, channels), 0.05),
    ]
    nodes = (
        Node("CONV_2D", "conv", ("image", "w", "b"), ("map",), Options((3, 3), padding="SAME")),
        Node("AVERAGE_POOL_2D", "pool", ("map",), ("scores",), Options((side, side), (side, side))),
    )
    return to_tflite(Graph(nodes, {t.name: t for t in tensors}, ("image",), ("scores",)))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.tflite"
    path.write_bytes(classifier())
    return path


def test_it_writes_sources_that_build_without_a_compiler_at_hand(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = pipeline(model, "--target", "rp2040", "--out", out)
    assert done.returncode == 0, done.stderr
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {"src/model.h", "src/model.c", "src/conv_c.c", "Makefile", "CMakeLists.txt", "example/main.c"} <= written
    assert "proof.json" not in written
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no cc to build the example with")
    sources = [*out.glob("src/*.c"), out / "example" / "main.c"]
    subprocess.run([compiler, "-I", out / "src", *sources, "-o", tmp_path / "example"], check=True)
    assert 0 <= subprocess.run([tmp_path / "example"], check=False).returncode < 4


def test_the_makefile_builds_a_library(model: Path, tmp_path: Path) -> None:
    if not shutil.which("make") or not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("make or arm-none-eabi-gcc is not installed")
    assert pipeline(model, "--target", "cortex-m7", "--out", tmp_path / "out").returncode == 0
    subprocess.run(["make", "-s"], cwd=tmp_path / "out", check=True)
    assert (tmp_path / "out" / "libmodel.a").stat().st_size > 1000


@pytest.mark.parametrize("target", ["cortex-m0plus", "nucleo-f446re", "nucleo-h743zi", "cortex-m33", "cortex-m55"])
def test_the_library_has_the_floating_point_abi_of_the_targets_applications(
    target: str, model: Path, tmp_path: Path
) -> None:
    if not shutil.which("make") or not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("make or arm-none-eabi-gcc is not installed")
    assert pipeline(model, "--target", target, "--out", tmp_path / "out").returncode == 0
    subprocess.run(["make", "-s"], cwd=tmp_path / "out", check=True)
    application, library = tmp_path / "application.c", tmp_path / "out" / "libmodel.a"
    application.write_text("float half(float x) { return x / 2; }\n")
    whole = ["-Wl,--whole-archive", library, "-o", tmp_path / "whole.o"]
    link = ["arm-none-eabi-gcc", *load_profile(target).compiler_flags, "-r", "-nostdlib", application, *whole]
    done = subprocess.run(link, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_proves_the_model_on_an_emulated_core(model: Path, tmp_path: Path) -> None:
    from export.prove.emulate import find_emulator
    from export.runtime.build import find_toolchain
    from hardware_profiles.cores import FIRMWARE_CORES

    if find_toolchain() is None or find_emulator(FIRMWARE_CORES["cortex-m4"]) is None:
        pytest.skip("no compiler or no emulator for Cortex-M4")
    inputs = tmp_path / "x.npy"
    np.save(inputs, np.random.default_rng(0).integers(-128, 128, (25, 8, 8, 3)).astype(np.int8))
    done = pipeline(model, "--target", "cortex-m4", "--out", tmp_path / "out", "--emulate", "--inputs", inputs)
    assert done.returncode == 0, done.stderr
    (core,) = json.loads((tmp_path / "out" / "proof.json").read_text())["cores"]
    assert (core["core"], core["images"], core["mismatches"]) == ("cortex-m4", 25, 0)
    assert core["flash_bytes"]["total"] == core["flash_bytes"]["code"] + core["flash_bytes"]["data"]
    ram = core["ram_bytes"]
    assert ram["total"] == ram["arena"] + ram["variables"] + ram["stack"]
    assert (tmp_path / "out" / "proof.elf").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--target", "raspberry-pi-4"), 2, "raspberry-pi-4 has a cortex-a72; firmware is made for cortex-m0plus"),
        (("--target", "cortex-m9"), 2, "no hardware profile 'cortex-m9'"),
        (("--target", "cortex-m7", "--emulate", "--inputs", "absent.npy"), 2, "can't read absent.npy"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: tuple[str, ...], code: int, message: str, model: Path, tmp_path: Path
) -> None:
    done = pipeline(model, *arguments, "--out", tmp_path / "out")
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("error: ") == 1


def test_files_of_someone_else_are_not_replaced_and_an_earlier_package_is(model: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "Makefile").write_text("all: # by hand")
    done = pipeline(model, "--target", "cortex-m7", "--out", theirs)
    assert done.returncode == 2
    assert f"{theirs} holds Makefile, which firmware would replace" in done.stderr
    assert [path.name for path in theirs.iterdir()] == ["Makefile"]
    assert pipeline(model, "--target", "cortex-m7", "--out", ours).returncode == 0
    (ours / "proof.json").write_text("of an earlier model")
    assert pipeline(model, "--target", "cortex-m7", "--out", ours).returncode == 0
    assert not (ours / "proof.json").exists()


@pytest.mark.parametrize("told", ["[]", "{", '{"labels": 3}'])
def test_a_file_of_someone_else_named_as_the_labels_is_ignored(model: Path, tmp_path: Path, told: str) -> None:
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(model.read_bytes())
    (tmp_path / "model.json").write_text(told)
    assert pipeline(copy, "--target", "cortex-m7", "--out", tmp_path / "out").returncode == 0


def test_several_arrays_are_no_inputs(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", a=np.zeros(3), b=np.zeros(3))
    (tmp_path / "empty.npy").write_bytes(b"")
    for name, message in (("inputs.npz", "holds several arrays"), ("empty.npy", "can't read")):
        done = pipeline(
            model, "--target", "cortex-m7", "--emulate", "--inputs", tmp_path / name, "--out", tmp_path / "out"
        )
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("error: ") == 1


def test_a_directory_that_cannot_be_one_is_one_line(model: Path) -> None:
    done = pipeline(model, "--target", "cortex-m7", "--out", model)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: can't write to {model}: Not a directory; name another directory with --out"
    ]


def test_a_model_that_is_too_large_says_by_how_much_and_which_layer(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    path.write_bytes(classifier(side=160, channels=16))  # its map alone has 409,600 bytes
    done = pipeline(path, "--target", "cortex-m7", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "cortex-m7 has 327,680 bytes of RAM in one block, and the model needs" in done.stderr
    assert "layer '0 CONV_2D -> 160x160x16' needs most of it" in done.stderr


def test_an_arena_that_fits_the_board_but_none_of_its_blocks_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    path.write_bytes(classifier(side=180, channels=16))  # 518,400 bytes and its input's: under 992 KiB
    done = pipeline(path, "--target", "nucleo-h743zi", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "nucleo-h743zi has 524,288 bytes of RAM in one block, and the model needs" in done.stderr


def test_a_damaged_file_is_named_once(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(model.read_bytes()[:600])
    done = pipeline(path, "--target", "cortex-m7", "--out", tmp_path / "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: damaged.tflite: ")
    assert line.count("damaged.tflite") == 1


def test_an_onnx_file_is_refused(tmp_path: Path) -> None:
    done = pipeline(tmp_path / "m.onnx", "--target", "cortex-m7", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "is no TFLite file" in done.stderr


def test_of_a_run_directory_it_takes_the_int8_file_and_its_labels(tmp_path: Path) -> None:
    tflite, folder = classifier(), tmp_path / "run" / "model"
    write_bytes(folder / "model.int8.tflite", tflite)
    write_bytes(folder / "model.float.onnx", b"")
    labels = ["ant", "bee", "cat", "dog"]
    write_json(folder / "model.json", {"labels": labels, "sha256": hashlib.sha256(tflite).hexdigest()})
    done = pipeline(tmp_path / "run", "--target", "cortex-m4", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert '"ant"' in (tmp_path / "out/src/model.c").read_text()


def run_stage(directory: Path, target: str) -> bool:
    write_bytes(directory / "model/model.int8.tflite", classifier())
    ends = ModelInput(shape=(1, 8, 8, 3), scale=1.0, zero_point=0), ModelOutput(shape=(1, 4), scale=1.0, zero_point=0)
    write_value(directory / "model/model.json", ModelFacts("model.int8.tflite", "", ("a", "b", "c", "d"), *ends))
    images = Images(np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8), np.arange(60) % 4)
    data = Dataset("tiny", ("a", "b", "c", "d"), images, images, images, "digest")
    config = configured({"target": target, "dataset": "tiny", "preset": "quick"})
    identity = {"target": target, "dataset": "tiny", "data_sha256": "digest"}
    write_json(directory / "run.json", {"identity": identity, "stages": []})
    return run_stages(
        (firmware.STAGE,), directory, Origin(config, load_profile(target), data), Reporter(Console(quiet=True))
    )


def test_a_run_without_a_compiler_writes_sources_and_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("export.runtime.build.find_spec", lambda name: None)
    assert run_stage(tmp_path, "cortex-m7")
    proof = json.loads((tmp_path / "model/firmware/proof.json").read_text())
    assert proof["cores"] == []
    assert "pip install 'flatnas-deploy[firmware]'" in proof["skipped"]
    assert '"a"' in (tmp_path / "model/firmware/src/model.c").read_text()


def test_a_run_for_a_phone_has_no_firmware(tmp_path: Path) -> None:
    run_stage(tmp_path, "raspberry-pi-4")
    assert not (tmp_path / "model/firmware").exists()


def test_a_run_proves_its_model_on_validation_images(tmp_path: Path) -> None:
    from pipeline.firmware_proof import find_tools

    if find_tools(load_profile("cortex-m4")).missing:
        pytest.skip("no compiler or no emulator for Cortex-M4")
    run_stage(tmp_path, "cortex-m4")
    (core,) = json.loads((tmp_path / "model/firmware/proof.json").read_text())["cores"]
    assert (core["images"], core["mismatches"]) == (20, 0)
