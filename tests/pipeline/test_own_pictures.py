"""A user's own pictures at their own size: for a Raspberry Pi from a checkpoint of OFA's, for an MCU from ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cwd / "cache")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def write_pictures(folder: Path, per_class: int, side: int) -> None:
    """Bright upper or bright left halves under noise: two classes that even a short training separates."""
    rng = np.random.default_rng(0)
    for name in ("left", "upper"):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = rng.integers(0, 100, (side, side, 3))
            half = pixels[: side // 2] if name == "upper" else pixels[:, : side // 2]
            half += 120
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i:03}.png")


@pytest.mark.slow
def test_an_ofa_checkpoint_becomes_a_model_for_a_raspberry_pi(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    torch.manual_seed(0)
    net = OFAMobileNetV3(
        dropout_rate=0, width_mult=1.0, ks_list=[3, 5, 7], expand_ratio_list=[3, 4, 6], depth_list=[2, 3, 4]
    )
    torch.save({"state_dict": net.state_dict()}, tmp_path / "ofa.pth")
    write_pictures(tmp_path / "pictures", per_class=60, side=64)

    adapt = run(
        "supernet", "adapt", "--from", "ofa.pth", "--dataset", "pictures", "--epochs", "2", "--out", "mobile",
        cwd=tmp_path,
    )  # fmt: skip
    assert adapt.returncode == 0, adapt.stderr
    card = json.loads((tmp_path / "mobile" / "card.json").read_text())
    assert (card["space"], card["resolution"]) == ("ofa-mobilenetv3-w1.0", 64)
    done = run(
        "run", "--target", "raspberry-pi-4", "--supernet", "mobile/supernet.safetensors", "--dataset", "pictures",
        "--preset", "quick", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr  # so little training may cost a gate; every file is there
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["fits"]
    assert report["search"]["evaluations"] >= 20
    # XNNPACK and onnxruntime round some first values by 1 LSB otherwise, and 70 layers that learned little enlarge it
    mismatches = {row["runner"]: row["mismatches"] for row in report["parity"]}
    assert mismatches["litert-reference"] == mismatches.get("tflm", 0) == 0
    assert report["arch"]["resolution"] == 64
    kinds = ("dynamic", "float", "float16", "int8")
    assert {row["file"] for row in report["host_latency"]["rows"]} == {f"model.{kind}.tflite" for kind in kinds}
    searched = next(
        json.loads(line)["footprint"]
        for line in (tmp_path / "run" / "search" / "evaluations.jsonl").read_text().splitlines()
        if json.loads(line)["arch"] == report["arch"]
    )
    for quantity in ("params", "macs", "sram_bytes", "latency_ms"):
        assert report["footprint"][quantity] == searched[quantity]


@pytest.mark.slow
@pytest.mark.parametrize("side", [64, 96])
def test_larger_pictures_are_searched_and_audited_at_their_own_size(tmp_path: Path, side: int) -> None:
    pytest.importorskip("torch")
    from flatnas.space.spaces import mcu_space

    write_pictures(tmp_path / "pictures", per_class=60, side=side)
    done = run(
        "run", "--target", "cortex-m7", "--dataset", "pictures", "--preset", "quick", "--out", "run", cwd=tmp_path
    )
    assert done.returncode in (0, 1), done.stderr  # so little training may cost a gate; every file is there
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    records = [
        json.loads(line) for line in (tmp_path / "run" / "search" / "evaluations.jsonl").read_text().splitlines()
    ]
    assert {record["arch"]["resolution"] for record in records} <= set(mcu_space(2, side).resolutions)
    assert max(record["arch"]["resolution"] for record in records) > 32
    assert report["fits"]
    assert report["robustness"]["images"] == 18
