"""`pipeline shrink`: what it writes, how it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.graph import Graph, Node, Options, QParams, Tensor
from export.read_tflite import read_tflite
from export.write.to_tflite import to_tflite

ROOT = Path(__file__).parents[2]


def pipeline(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def model(hidden_bias: int) -> bytes:
    """Two pointwise convolutions; the second channel between them is 127 where its bias is large."""

    def activation(name: str, channels: int) -> Tensor:
        return Tensor(name, (1, 4, 4, channels), "int8", QParams(np.array([1], np.float32), np.array([0])))

    def weights(name: str, values: list[list[int]], factor: float) -> Tensor:
        data = np.array(values, np.int8)[:, None, None]
        return Tensor(name, data.shape, "int8", QParams(np.full(2, factor, np.float32), np.zeros(2, np.int64)), data)

    tensors = [
        activation("x", 3),
        weights("w", [[1, 2, 3], [1, 0, 1]], 1 / 8),
        Tensor("b", (2,), "int32", None, np.array([0, hidden_bias], np.int32)),
        activation("hidden", 2),
        weights("w2", [[1, 1], [2, 1]], 1 / 4),
        Tensor("b2", (2,), "int32", None, np.array([3, 4], np.int32)),
        activation("y", 2),
    ]
    nodes = (
        Node("CONV_2D", "first", ("x", "w", "b"), ("hidden",), Options()),
        Node("CONV_2D", "second", ("hidden", "w2", "b2"), ("y",), Options()),
    )
    return to_tflite(Graph(nodes, {t.name: t for t in tensors}, ("x",), ("y",)))


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    path = tmp_path / "dead.tflite"
    path.write_bytes(model(100_000))
    return path


def test_it_writes_a_smaller_file_and_the_proof(dead: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "small.tflite", tmp_path / "shrink.json"
    done = pipeline("shrink", dead, "--out", out, "--inputs", 30, "--json", told)
    assert done.returncode == 0, done.stderr
    assert "channels removed 1 of 4 (constant 1, unread 0)" in done.stderr
    assert "✓ litert-reference: 30 inputs, every byte the same" in done.stderr
    record = json.loads(told.read_text())
    # 16 positions: 6 + 4 weights before, 3 + 2 after
    assert (record["before"]["macs"], record["after"]["macs"]) == (160, 80)
    assert (record["before"]["weights"], record["after"]["weights"]) == (10, 5)
    assert record["after"]["file_bytes"] == out.stat().st_size
    (channel,) = record["removed"]
    assert (channel["channel"], channel["reason"], channel["low"], channel["high"]) == (1, "constant", 127, 127)
    assert channel["sums"] == [100_000 - 256, 100_000 + 254]
    assert channel["readers"] == ["1 CONV_2D"]
    assert record["equal"]
    biases = [read_tflite(out).tensor(node.inputs[2]).data for node in read_tflite(out).nodes]
    assert [bias.tolist() for bias in biases if bias is not None] == [[0], [3 + 127, 4 + 127]]


def test_nothing_to_remove_writes_an_equal_file(tmp_path: Path) -> None:
    given, out = tmp_path / "m.tflite", tmp_path / "small.tflite"
    given.write_bytes(model(0))
    done = pipeline("shrink", given, "--out", out, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert "nothing to remove" in done.stderr
    assert out.read_bytes() == given.read_bytes()
    record = json.loads(done.stdout)
    assert (record["removed"], record["parity"], record["equal"]) == ([], [], True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.tflite", "--out", "o.tflite"), "there is no file missing.tflite"),
        (("pyproject.toml", "--out", "o.tflite"), "no TFLite file; only int8 .tflite files can be shrunk"),
    ],
)
def test_what_cannot_be_shrunk_is_told_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = pipeline("shrink", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_model_itself_is_never_written_over(dead: Path) -> None:
    before = dead.read_bytes()
    done = pipeline("shrink", dead, "--out", dead.parent / "." / dead.name)
    assert done.returncode == 2
    assert "is the model itself; name another file" in done.stderr
    assert dead.read_bytes() == before


def test_firmware_leaves_dead_channels_out_unless_told_otherwise(dead: Path, tmp_path: Path) -> None:
    done = pipeline("firmware", dead, "--target", "cortex-m7", "--out", tmp_path / "a")
    assert "dead channels left out 1" in done.stderr
    assert ".out_c = 1," in (tmp_path / "a" / "src" / "model.c").read_text()
    done = pipeline("firmware", dead, "--target", "cortex-m7", "--out", tmp_path / "b", "--no-shrink")
    assert "left out" not in done.stderr
    assert ".out_c = 1," not in (tmp_path / "b" / "src" / "model.c").read_text()
