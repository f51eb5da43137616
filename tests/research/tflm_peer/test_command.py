"""`python -m research.tflm_peer`: what it shows and writes, and how it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_tflm import copying_model, write_tiny_tflm

from export.graph import ExportError
from export.runtime.build import find_toolchain
from research.tflm_peer.peer import cxx_compiler

ROOT = Path(__file__).parents[3]


def compare(model: Path, tree: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "research.tflm_peer", model, "--target", "cortex-m4", "--tree", tree]
    return subprocess.run([*command, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.tflite"
    path.write_bytes(copying_model())
    return path


@pytest.fixture
def tools() -> None:
    toolchain = find_toolchain()
    if toolchain is None or not shutil.which("qemu-system-arm"):
        pytest.skip("no compiler or no QEMU")
    try:
        cxx_compiler(toolchain)
    except ExportError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("tools")
def test_the_peer_stands_beside_the_firmware(model: Path, tmp_path: Path) -> None:
    done = compare(model, write_tiny_tflm(tmp_path / "tree"), "--json", tmp_path / "both.json")
    assert done.returncode == 0, done.stderr
    both = json.loads((tmp_path / "both.json").read_text())
    core, peer = both["firmware"], both["peer"]
    assert set(peer) <= set(core) | {"name"}
    assert (peer["name"], peer["images"], peer["mismatches"]) == ("TFLite Micro, reference kernels", 20, 0)
    assert peer["flash_bytes"]["total"] == peer["flash_bytes"]["code"] + peer["flash_bytes"]["data"]
    assert peer["ram_bytes"]["arena"] == 1234
    rows = {line.split("  ")[0].strip(): line for line in done.stderr.splitlines() if " of 20 " in line}
    assert f"{core['instructions']:,}" in rows["this firmware"]
    assert f"{peer['instructions']:,}" in rows["TFLite Micro, reference kernels"]


@pytest.mark.usefixtures("tools")
def test_a_peer_that_does_not_build_says_why(model: Path, tmp_path: Path) -> None:
    tree = write_tiny_tflm(tmp_path / "tree")
    (tree / "tensorflow/lite/micro/kernels/pooling.cc").write_text("#error too old")
    done = compare(model, tree)
    assert done.returncode == 2
    assert "#error too old" in done.stderr


@pytest.mark.usefixtures("tools")
def test_what_is_no_checkout_is_refused_before_anything_is_built(model: Path, tmp_path: Path) -> None:
    done = compare(model, tmp_path)
    assert done.returncode == 2
    assert "is no TFLite Micro tree" in done.stderr
