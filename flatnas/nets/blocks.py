"""The layers of a subnet as plain torch modules: what `extract` returns and what gets exported."""

from __future__ import annotations

from torch import Tensor, nn

from flatnas.space.arch import Activation
from hardware_profiles.cost.ops import same_padding

_ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hard_swish": nn.Hardswish}


def padding(size: int, kernel: int, stride: int, *, same: bool) -> tuple[int, int]:
    """Rows or columns (before, after): TF-SAME for an axis of `size`, or kernel // 2 on both sides."""
    return same_padding(size, kernel, stride) if same else (kernel // 2, kernel // 2)


def conv_bn(
    size: int,
    channels_in: int,
    channels_out: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    depthwise: bool = False,
    same: bool = True,
    activation: Activation | None = "relu6",
) -> nn.Sequential:
    """Convolution for a square input of `size`, batch norm, and an activation unless it is linear."""
    before, after = padding(size, kernel, stride, same=same)
    layers = nn.Sequential()
    if before != after:
        layers.add_module("pad", nn.ZeroPad2d((before, after, before, after)))
    symmetric = before if before == after else 0
    groups = channels_in if depthwise else 1
    layers.add_module(
        "conv", nn.Conv2d(channels_in, channels_out, kernel, stride, symmetric, groups=groups, bias=False)
    )
    layers.add_module("bn", nn.BatchNorm2d(channels_out))
    if activation:
        layers.add_module("act", _ACTIVATIONS[activation]())
    return layers


class SqueezeExcite(nn.Module):
    """Channel gates from the pooled input: relu6(W2 relu(W1 mean(x)) + 3) / 6 (MobileNetV3, section 5.3)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        gate: Tensor = self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))
        return x * gate


class InvertedResidual(nn.Module):
    """Block of MobileNetV3: expand 1x1, depthwise kxk, gate, linear project 1x1, and the input added or not."""

    def __init__(
        self,
        size: int,
        channels_in: int,
        channels_out: int,
        kernel: int,
        expand: int,
        stride: int,
        *,
        residual: bool,
        squeezed: int = 0,
        same: bool = True,
        activation: Activation = "relu6",
    ) -> None:
        super().__init__()
        expanded = channels_in * expand
        self.residual = residual
        self.expand = conv_bn(size, channels_in, expanded, same=same, activation=activation) if expand > 1 else None
        self.depthwise = conv_bn(
            size, expanded, expanded, kernel, stride, depthwise=True, same=same, activation=activation
        )
        self.squeeze_excite = SqueezeExcite(expanded, squeezed) if squeezed else None
        self.project = conv_bn(-(-size // stride), expanded, channels_out, same=same, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels_out, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.expand(x) if self.expand is not None else x
        y = self.depthwise(y)
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project(y)
        return x + y if self.residual else y


class GlobalMix(nn.Sequential):
    """MobileNetV3's layer between pooling and classifier: a linear layer without bias, then hard-swish."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(channels_in, channels_out, 1, bias=False))
        self.add_module("act", nn.Hardswish())
