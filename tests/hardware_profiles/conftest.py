"""MLPerf Tiny's four networks as operators, in int8, and the published results on the cores of our targets."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hardware_profiles.cost.ops import OpSpec, TensorSpec

Network = tuple[OpSpec, ...]


def _conv(
    name: str, x: TensorSpec, channels: int, kernel: tuple[int, int] = (1, 1), stride: int = 1, depthwise: bool = False
) -> OpSpec:
    _, h, w, c = x.shape
    y = TensorSpec(name, (1, -(-h // stride), -(-w // stride), channels))
    weights = kernel[0] * kernel[1] * channels * (1 if depthwise else c)
    kind, op = ("depthwise_conv", "DEPTHWISE_CONV_2D") if depthwise else ("conv", "CONV_2D")
    return OpSpec(
        kind,  # type: ignore[arg-type]
        op,
        (x,),
        y,
        kernel,
        (stride, stride),
        weights=weights,
        biases=channels,
        channel_scales=channels,
    )


def _dense(name: str, x: TensorSpec, units: int) -> OpSpec:
    weights = x.shape[-1] * units
    return OpSpec(
        "fully_connected", "FULLY_CONNECTED", (x,), TensorSpec(name, (1, units)), weights=weights, biases=units
    )


def _classifier(ops: list[OpSpec], classes: int) -> Network:
    _, h, w, c = ops[-1].output.shape
    pool = TensorSpec("pool", (1, 1, 1, c))
    ops.append(OpSpec("avg_pool", "AVERAGE_POOL_2D", (ops[-1].output,), pool, (h, w), (h, w)))
    ops.append(_dense("logits", pool, classes))
    ops.append(OpSpec("softmax", "SOFTMAX", (ops[-1].output,), TensorSpec("probabilities", (1, classes))))
    return tuple(ops)


def _resnet8() -> Network:
    ops = [_conv("stem", TensorSpec("image", (1, 32, 32, 3)), 16, (3, 3))]
    x = ops[-1].output
    for i, (channels, stride) in enumerate(((16, 1), (32, 2), (64, 2))):
        ops.append(_conv(f"{i}a", x, channels, (3, 3), stride))
        ops.append(_conv(f"{i}b", ops[-1].output, channels, (3, 3)))
        main, shortcut = ops[-1].output, x
        if stride > 1:
            ops.append(_conv(f"{i}c", x, channels, (1, 1), stride))
            shortcut = ops[-1].output
        x = TensorSpec(f"{i}sum", main.shape)
        ops.append(OpSpec("add", "ADD", (main, shortcut), x))
    return _classifier(ops, 10)


def _separable(ops: list[OpSpec], layers: Sequence[tuple[int, int]]) -> list[OpSpec]:
    for i, (channels, stride) in enumerate(layers):
        x = ops[-1].output
        ops.append(_conv(f"depthwise{i}", x, x.shape[3], (3, 3), stride, depthwise=True))
        ops.append(_conv(f"pointwise{i}", ops[-1].output, channels))
    return ops


def _visual_wake_words() -> Network:
    layers = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    return _classifier(_separable([_conv("stem", TensorSpec("image", (1, 96, 96, 3)), 8, (3, 3), 2)], layers), 2)


def _keyword_spotting() -> Network:
    stem = _conv("stem", TensorSpec("mfcc", (1, 49, 10, 1)), 64, (10, 4), 2)
    return _classifier(_separable([stem], [(64, 1)] * 4), 12)


def _anomaly_detection() -> Network:
    x, ops = TensorSpec("spectrogram", (1, 640)), []
    for i, units in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128, 640)):
        ops.append(_dense(f"dense{i}", x, units))
        x = ops[-1].output
    return tuple(ops)


@pytest.fixture(scope="session")
def mlperf_tiny() -> Mapping[str, Network]:
    return {
        "ic": _resnet8(),
        "vww": _visual_wake_words(),
        "kws": _keyword_spotting(),
        "ad": _anomaly_detection(),
    }


@pytest.fixture(scope="session")
def mlperf_tiny_results() -> list[dict[str, str]]:
    """Closed division, v0.5 to v1.3, int8, CPU only: results.txt of each submission, and v1.2's summary.csv."""
    with (Path(__file__).parent / "published" / "mlperf_tiny.csv").open() as file:
        return list(csv.DictReader(file))
