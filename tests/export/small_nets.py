"""Small networks as the search spaces build them, for tests of export and of the pipeline."""

from __future__ import annotations

from typing import Any


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
