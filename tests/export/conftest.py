"""Small networks with random weights and batch-norm statistics, and what export makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

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


def conv(
    size: int, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, depthwise: bool = False, act: bool = True
) -> Any:
    """Convolution with TF-SAME padding, batch norm and ReLU6, as a subnet of the search space is built."""
    from torch import nn

    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    layers = nn.Sequential()
    if before != after:
        layers.add_module("pad", nn.ZeroPad2d((before, after, before, after)))
    groups, padding = (c_in if depthwise else 1), (before if before == after else 0)
    layers.add_module("conv", nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=False))
    layers.add_module("bn", nn.BatchNorm2d(c_out))
    if act:
        layers.add_module("act", nn.ReLU6())
    return layers


def randomise(net: Any, seed: int) -> Any:
    """Evaluation mode, with statistics that a wrong folding would show."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3, generator=generator)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            torch.nn.init.normal_(module.running_mean, 0, 0.2, generator=generator)
            torch.nn.init.uniform_(module.running_var, 0.5, 2, generator=generator)
    return net.eval()


def residual_net(size: int, kernel: int, stride: int, channels: int) -> Any:
    """Stem, one strided and one residual inverted bottleneck, pool, classifier."""
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.expand = conv(size, channels, 2 * channels)
            self.depthwise = conv(size, 2 * channels, 2 * channels, kernel, depthwise=True)
            self.project = conv(size, 2 * channels, channels, act=False)

        def forward(self, x: Any) -> Any:
            return x + self.project(self.depthwise(self.expand(x)))

    small = -(-size // stride)
    return nn.Sequential(
        conv(size, 3, channels, 3),
        conv(size, channels, channels, kernel, stride, depthwise=True),
        Residual(small),
        conv(small, channels, 10),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 5),
    )


def gated_net(size: int = 12, channels: int = 8, blocks: int = 2) -> Any:
    """Hard-swish and squeeze-excite, as MobileNetV3 has them: stem, residual inverted bottlenecks, pool, classifier."""
    from torch import nn

    def swish(layers: Any) -> Any:
        layers.act = nn.Hardswish()
        return layers

    class SqueezeExcite(nn.Module):
        def __init__(self, wide: int) -> None:
            super().__init__()
            self.pool, self.relu, self.gate = nn.AdaptiveAvgPool2d(1), nn.ReLU(), nn.Hardsigmoid()
            self.reduce, self.expand = nn.Conv2d(wide, 4, 1), nn.Conv2d(4, wide, 1)

        def forward(self, x: Any) -> Any:
            return x * self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))

    class Block(nn.Module):
        def __init__(self, residual: bool) -> None:
            super().__init__()
            wide = 2 * channels
            self.residual = residual
            self.expand = swish(conv(size, channels, wide))
            self.depthwise = swish(conv(size, wide, wide, 3, depthwise=True))
            self.squeeze_excite = SqueezeExcite(wide)
            self.project = conv(size, wide, channels, act=False)

        def forward(self, x: Any) -> Any:
            y = self.project(self.squeeze_excite(self.depthwise(self.expand(x))))
            return x + y if self.residual else y

    return nn.Sequential(
        swish(conv(size, 3, channels, 3)),
        *(Block(residual=i > 0) for i in range(blocks)),
        swish(conv(size, channels, 16)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def spread_channels(net: Any, largest: float, seed: int = 0) -> Any:
    """The same function with some channels of a folded `gated_net`'s residual stream up to `largest` times others.

    That stream is linear, so a factor in the layers that write it and its inverse in those that read it cancel.
    """
    import torch

    _, *blocks, head, _, _, _ = net
    channels = head.conv.in_channels
    generator = torch.Generator().manual_seed(seed)
    factors = largest ** (torch.rand(channels, generator=generator) - 0.5)
    with torch.no_grad():
        for block in blocks:
            block.project.conv.weight.mul_(factors.reshape(-1, 1, 1, 1))
            block.project.conv.bias.mul_(factors)
        for reader in [*(block.expand.conv for block in blocks[1:]), head.conv]:
            reader.weight.div_(factors.reshape(1, -1, 1, 1))
    return net


@pytest.fixture(scope="session")
def gated() -> Any:
    """A random `gated_net`, batch norms folded, with images (48, 3, 12, 12)."""
    pytest.importorskip("torch")
    from export.fold import fold_batch_norm

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
        from export.fold import fold_batch_norm
        from export.quantize import quantize
        from export.read_onnx import read_onnx
        from export.to_onnx import to_onnx
        from export.to_tflite import to_tflite

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
