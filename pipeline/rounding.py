"""Rounding as a perturbation: what int8 or int4 weights and activations do to a float network's accuracy.

Weights are rounded symmetrically per output channel, activations asymmetrically per tensor over the range that
calibration images give them: the rules of TFLite's int8 kernels, at any number of bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from flatnas.data.resize import Pixels
    from flatnas.search.flatness import Perturb


def rounding(calibration_nhwc: Pixels, *, bits: int) -> Perturb:
    """A perturbation that rounds weights and activations to so many bits.

    Args:
        calibration_nhwc: uint8 images (n, H, W, 3) behind the activation ranges.
        bits: of weights and activations, 2 to 8.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be 2 to 8, not {bits}")

    def perturb(module: nn.Module) -> nn.Module:
        from export.write.fold import fold_batch_norm

        folded = fold_batch_norm(module)
        _round_weights(folded, bits)
        _round_activations(folded, calibration_nhwc, bits)
        return folded

    return perturb


def _round_weights(folded: nn.Module, bits: int) -> None:
    import torch
    from torch import nn

    top = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for layer in folded.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                scale = layer.weight.abs().flatten(1).amax(1).clamp_min(1e-12) / top
                scale = scale.view(-1, *[1] * (layer.weight.ndim - 1))
                layer.weight.copy_((layer.weight / scale).round_() * scale)


def _round_activations(folded: nn.Module, calibration_nhwc: Pixels, bits: int) -> None:
    import torch

    from flatnas.training.train import predict

    tensors = [layer for layer in folded.modules() if _makes_a_tensor(layer)]
    ranges: dict[nn.Module, tuple[float, float]] = {}

    def observe(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        low, high = ranges.get(layer, (0.0, 0.0))
        ranges[layer] = min(low, float(output.min())), max(high, float(output.max()))

    observers = [layer.register_forward_hook(observe) for layer in tensors]
    predict(folded, calibration_nhwc, int(calibration_nhwc.shape[1]))
    for observer in observers:
        observer.remove()
    levels = 2**bits - 1
    for layer in tensors:
        low, high = ranges[layer]
        scale = max(high - low, 1e-6) / levels
        zero_point = round(-low / scale)

        def requantize(layer: nn.Module, inputs: Any, output: Tensor, s: float = scale, z: int = zero_point) -> Tensor:
            return torch.fake_quantize_per_tensor_affine(output, s, z, 0, levels)

        layer.register_forward_hook(requantize)


def _makes_a_tensor(layer: nn.Module) -> bool:
    """Whether an int8 graph has a tensor for this layer's output: what a convolution fuses has none of its own."""
    from torch import nn

    from flatnas.nets.blocks import InvertedResidual, SqueezeExcite

    fused = isinstance(layer, nn.Sequential) and any(isinstance(child, nn.Conv2d) for child in layer.children())
    return fused or isinstance(
        layer, InvertedResidual | SqueezeExcite | nn.Linear | nn.Hardsigmoid | nn.AdaptiveAvgPool2d
    )
