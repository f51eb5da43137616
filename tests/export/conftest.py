"""Small networks with random weights and batch-norm statistics, and what export makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from small_nets import gated_net, randomise, residual_net, spread_channels

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """A network, the images it was calibrated on, and its files."""

    net: Any
    pixels: Pixels
    images_nchw: npt.NDArray[np.float32]
    float_onnx: Path
    int8_onnx: Path
    int8_tflite: Path


@pytest.fixture(scope="session")
def gated() -> Any:
    """A random `gated_net`, batch norms folded, with images (48, 3, 12, 12)."""
    pytest.importorskip("torch")
    from export.write.fold import fold_batch_norm

    images = np.random.default_rng(0).standard_normal((48, 3, 12, 12)).astype(np.float32)
    return fold_batch_norm(randomise(gated_net(), seed=2)), images


@pytest.fixture(scope="session")
def spread() -> Callable[[Any, float], Any]:
    import copy

    return lambda net, largest: spread_channels(copy.deepcopy(net), largest)


@pytest.fixture(scope="session")
def export_net(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Exported]:
    """Export a network of the given input size."""
    pytest.importorskip("torch")

    def export(net: Any, size: int, seed: int = 0) -> Exported:
        from export.calibrate import calibrate
        from export.quantize import quantize
        from export.read_onnx import read_onnx
        from export.write.fold import fold_batch_norm
        from export.write.to_onnx import to_onnx
        from export.write.to_tflite import to_tflite

        folder = tmp_path_factory.mktemp("model")
        pixels = np.random.default_rng(seed).integers(0, 256, (24, size, size, 3), np.uint8)
        images = ((pixels.astype(np.float32) - 128) / 128).transpose(0, 3, 1, 2)
        metadata = {"input_scale": "0.0078125", "input_zero_point": "0"}
        float_onnx = to_onnx(fold_batch_norm(net), (1, 3, size, size), metadata=metadata)
        int8_onnx = quantize(float_onnx, calibrate(float_onnx, images), input_scale=1 / 128)
        exported = Exported(net, pixels, images, folder / "f.onnx", folder / "q.onnx", folder / "q.tflite")
        exported.float_onnx.write_bytes(float_onnx)
        exported.int8_onnx.write_bytes(int8_onnx)
        exported.int8_tflite.write_bytes(to_tflite(read_onnx(int8_onnx)))
        return exported

    return export


# odd sizes under stride 2, every kernel, channels not divisible by 4, and a map that ends at 1x1
GEOMETRIES = [(7, 3, 2, 5), (15, 5, 2, 6), (8, 7, 1, 3), (2, 3, 2, 4)]


@pytest.fixture(scope="session", params=GEOMETRIES, ids=lambda g: "size{}-k{}-s{}-c{}".format(*g))
def exported(request: pytest.FixtureRequest, export_net: Callable[..., Exported]) -> Exported:
    size, kernel, stride, channels = request.param
    return export_net(randomise(residual_net(size, kernel, stride, channels), seed=size), size)


@pytest.fixture(scope="session")
def randomised() -> Callable[[Any], Any]:
    return lambda net: randomise(net, seed=1)
