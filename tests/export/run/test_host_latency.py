"""Timing on the host: of the right file, in the right unit, with the kernels that were asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.graph import ExportError
from export.read_onnx import read_onnx
from export.run.host_latency import host_latency
from export.run.tflite_runtimes import litert_invoke
from export.write.to_tflite import to_tflite

torch = pytest.importorskip("torch")


def _wide_net(channels: int) -> Any:
    nn = torch.nn
    layers = [nn.Conv2d(3, channels, 3), nn.ReLU6(), nn.Conv2d(channels, channels, 3), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, 5)).eval()


@pytest.fixture(scope="module")
def large(export_net: Callable[..., Any]) -> Any:
    return export_net(_wide_net(96), 32)


@pytest.mark.parametrize("xnnpack", [True, False])
def test_it_is_what_a_loop_around_the_interpreter_takes(large: Any, xnnpack: bool) -> None:
    found = host_latency(large.int8_tflite, 1, xnnpack)
    invoke = litert_invoke(large.int8_tflite, 1, xnnpack)
    taken = []
    for _ in range(30):
        start = time.perf_counter()
        invoke()
        taken.append(1e3 * (time.perf_counter() - start))
    # a machine with other work may be several times slower at one of the two moments, but no thousand times
    assert min(taken) / 20 < found.median_ms < 20 * max(taken)
    assert found.median_ms <= found.p90_ms
    assert (found.file, found.threads, found.xnnpack) == (large.int8_tflite.name, 1, xnnpack)


def test_a_hundred_times_the_macs_take_longer(large: Any, export_net: Callable[..., Any]) -> None:
    small = export_net(_wide_net(4), 8)
    assert host_latency(large.int8_tflite, 1, True).median_ms > 2 * host_latency(small.int8_tflite, 1, True).median_ms


def test_a_float_file_is_timed_too_and_a_damaged_one_refused(large: Any, tmp_path: Path) -> None:
    path = tmp_path / "float.tflite"
    path.write_bytes(to_tflite(read_onnx(large.float_onnx)))
    assert host_latency(path, 2, True).median_ms > 0
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ExportError, match="is damaged"):
        host_latency(path, 1, True)
