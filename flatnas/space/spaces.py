"""The search spaces: one for microcontrollers, one for mobile CPUs."""

from __future__ import annotations

from flatnas.space.arch import Activation, SearchSpace, StageSpace, round_channels

_KERNELS = (3, 5, 7)
MCU_RESOLUTIONS, MOBILE_RESOLUTIONS = range(16, 129), range(32, 225)  # sides of the input in pixels
MOBILE_WIDTHS = (1.0, 1.2)


def mcu_space(
    num_classes: int, resolution: int = 32, activation: Activation = "relu6", *, entry_residuals: bool = False
) -> SearchSpace:
    """The space for microcontrollers: at 32 pixels 0.23 M to 31.8 M MACs, 8 k to 639 k weights.

    The first stage runs at the stem's size, where an expansion would fill a small SRAM on its own: so it has none.
    Channels are multiples of 8, which SIMD kernels want; more of them cost 8 to 16 bytes each beside their weights.
    No stage adds its input at its entry: the largest subnet, which has more channels there, would never train that.

    Args:
        num_classes: logits.
        resolution: the data's side in pixels, at most 128; above 48 the stem strides, so that costs stay in range.
        activation: ReLU6 runs inside a convolution everywhere; hard-swish is an operator of its own.
        entry_residuals: the space of version 0.1, where subnets whose stem is as wide as the first stage add its input.

    Raises:
        ValueError: a resolution out of range.
    """
    if resolution not in MCU_RESOLUTIONS:
        raise ValueError(f"the input's side must be 16 to 128 pixels, not {resolution}")
    resolutions = sorted({round(resolution * share / 4) * 4 for share in (0.5, 0.625, 0.75, 0.875)} | {resolution})

    def stage(channels: tuple[int, ...], expands: tuple[int, ...]) -> StageSpace:
        return StageSpace(2, channels, (1, 2, 3), _KERNELS, expands, (False, True), activation)

    return SearchSpace(
        name=("mcu" if entry_residuals else "mcu2") + ("" if activation == "relu6" else f"-{activation}"),
        resolutions=tuple(resolutions),
        stems=(8, 16),
        stem_stride=1 if resolution <= 48 else 2,
        stages=(
            StageSpace(1, (8, 16, 24), (1, 2), _KERNELS, (1,), activation=activation),
            stage((16, 24, 32), (2, 3, 4)),
            stage((24, 40, 56), (2, 3, 4, 6)),
            stage((32, 64, 96), (2, 3, 4, 6)),
        ),
        heads=(64, 128, 192),
        num_classes=num_classes,
        activation=activation,
        entry_residuals=entry_residuals,
    )


def mobile_space(num_classes: int, resolution: int = 224, width: float = 1.0) -> SearchSpace:
    """OFA's MobileNetV3 space, its geometry and its padding (Cai et al., ICLR 2020, arXiv 1908.09791).

    Args:
        num_classes: logits.
        resolution: the largest side of the input in pixels; 128 and up in steps of 16 below it.
        width: 1.0 or 1.2, the widths that OFA published supernets of.
    """
    if width not in MOBILE_WIDTHS:
        raise ValueError(f"the mobile space has width 1.0 or 1.2, not {width}")
    if resolution not in MOBILE_RESOLUTIONS:
        raise ValueError(f"the input's side must be 32 to 224 pixels, not {resolution}")

    def channels(base: int) -> tuple[int, ...]:
        return (round_channels(base * width),)

    def stage(base: int, stride: int, activation: Activation, squeeze_excite: bool) -> StageSpace:
        return StageSpace(stride, channels(base), (2, 3, 4), _KERNELS, (3, 4, 6), (squeeze_excite,), activation)

    return SearchSpace(
        name=f"ofa-mobilenetv3-w{width}",
        resolutions=(*range(min(128, resolution), resolution, 16), resolution),
        stems=channels(16),
        stem_stride=2,
        stages=(
            StageSpace(1, channels(16), (1,), (3,), (1,), activation="relu"),
            stage(24, 2, "relu", False),
            stage(40, 2, "relu", True),
            stage(80, 2, "hard_swish", False),
            stage(112, 1, "hard_swish", True),
            stage(160, 2, "hard_swish", True),
        ),
        heads=channels(960),
        num_classes=num_classes,
        activation="hard_swish",
        mix_channels=channels(1280)[0],
        same_padding=False,
        kernel_transform=True,
        squeeze_from_expanded=True,
    )


def resolutions_of(name: str) -> range:
    """The sides that the input of a space may have, in pixels."""
    return MOBILE_RESOLUTIONS if name.startswith("ofa-") else MCU_RESOLUTIONS


def space_named(name: str, num_classes: int, resolution: int) -> SearchSpace:
    """The space that a checkpoint names, for its number of classes and resolution.

    Raises:
        ValueError: an unknown name.
    """
    spaces = {
        "mcu": lambda: mcu_space(num_classes, resolution, entry_residuals=True),
        "mcu-hard_swish": lambda: mcu_space(num_classes, resolution, "hard_swish", entry_residuals=True),
        "mcu2": lambda: mcu_space(num_classes, resolution),
        "mcu2-hard_swish": lambda: mcu_space(num_classes, resolution, "hard_swish"),
        "ofa-mobilenetv3-w1.0": lambda: mobile_space(num_classes, resolution),
        "ofa-mobilenetv3-w1.2": lambda: mobile_space(num_classes, resolution, 1.2),
    }
    if name not in spaces:
        raise ValueError(f"unknown search space '{name}'; known are {', '.join(spaces)}")
    return spaces[name]()
