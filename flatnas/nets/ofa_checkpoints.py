"""Once-for-All's own checkpoints: the supernets of its `OFAMobileNetV3`, as `torch.save` wrote them.

The only place that knows their names. Running statistics are dropped: every subnet's are recalibrated here.

Their networks expect (pixel / 255 - mean) / std, ours get y = (pixel - 128) / 128, so that

    x = y * 128 / (255 std) + (128 / 255 - mean) / std

and the factor goes into the stem's weights. The constant is the same for every pixel, so behind the stem it is one
number per channel, which the batch norm there removes; but not in the outermost outputs, whose window reaches into the
padding: OFA pads with the mean colour, we with grey, 0.07, 0.20 and 0.43 standard deviations from it (R, G, B).

Cai et al., ICLR 2020, arXiv 1908.09791; https://github.com/mit-han-lab/once-for-all
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flatnas.errors import SupernetError
from flatnas.nets.supernet import Supernet
from flatnas.space.spaces import MOBILE_WIDTHS, mobile_space

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1]


def load_ofa_checkpoint(path: Path) -> Supernet:
    """The supernet of a checkpoint, for input as everywhere here: (pixel - 128) / 128.

    Raises:
        SupernetError: not such a checkpoint, damaged, or of another width than 1.0 and 1.2.
    """
    supernet = read_ofa_checkpoint(path)
    fold_normalisation(supernet)
    return supernet


def read_ofa_checkpoint(path: Path) -> Supernet:
    """The supernet of a checkpoint with the very weights of the file: its input is OFA's, normalised as ImageNet.

    Raises:
        SupernetError: not such a checkpoint, damaged, or of another width than 1.0 and 1.2.
    """
    weights = {_normalised(name): value for name, value in _state_dict(path).items() if not _is_statistic(name)}
    supernet = Supernet(mobile_space(_num_classes(path, weights), width=_width(path, weights)))
    own = supernet.state_dict()
    names = {_name_in_ofa(name): name for name in own}
    for name in (*names, *weights):
        if (name in names) != (name in weights):
            what = "lacks" if name in names else "has"
            raise SupernetError(
                f"{path} {what} '{name}': it is no supernet of OFA's MobileNetV3 with depths 2-3-4, "
                "expansions 3-4-6 and kernels 3-5-7"
            )
        expected, found = tuple(own[names[name]].shape), tuple(weights[name].shape)
        if expected != found:
            raise SupernetError(f"{path}: '{name}' has shape {found}, and in OFA's MobileNetV3 it has {expected}")
        if not weights[name].isfinite().all():
            raise SupernetError(f"{path} is damaged: '{name}' holds numbers that are not finite")
    supernet.load_state_dict({ours: weights[theirs].float() for theirs, ours in names.items()})
    return supernet.to(memory_format=torch.channels_last)


@torch.no_grad()
def fold_normalisation(supernet: Supernet) -> None:
    """Let a supernet for input normalised as ImageNet take (pixel - 128) / 128, in place."""
    supernet.stem.weight.mul_((128 / 255 / torch.tensor(IMAGENET_STD)).view(1, 3, 1, 1))


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise SupernetError(f"{path} can't be read: {error.strerror}") from error
    except Exception as error:  # on foreign or damaged bytes torch raises RuntimeError, UnpicklingError and ten others
        raise SupernetError(f"{path} is no checkpoint that torch.save wrote, or a damaged one") from error
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise SupernetError(f"{path} holds no state dict of weights")
    return content


def _num_classes(path: Path, weights: Mapping[str, Tensor]) -> int:
    return len(_required(path, weights, "classifier.linear.bias"))


def _width(path: Path, weights: Mapping[str, Tensor]) -> float:
    widths = {mobile_space(1, width=width).heads[-1]: width for width in MOBILE_WIDTHS}
    channels = len(_required(path, weights, "final_expand_layer.conv.weight"))
    if channels not in widths:
        known = ", ".join(f"{c} (width {width})" for c, width in widths.items())
        raise SupernetError(f"{path} is of another width: its final layer has {channels} channels; known are {known}")
    return widths[channels]


def _required(path: Path, weights: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in weights or not weights[name].ndim:
        raise SupernetError(f"{path} is no supernet of OFA's MobileNetV3: it lacks '{name}'")
    return weights[name]


def _is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _normalised(name: str) -> str:
    """One spelling: without the wrappers of dynamic layers, and the block's name that newer versions of OFA use."""
    return (
        name.replace(".mobile_inverted_conv.", ".conv.")
        .replace(".bn.bn.", ".bn.")
        .replace(".conv.conv.weight", ".conv.weight")
    )


_LAYERS = {
    "stem": "first_conv",
    "expand": "inverted_bottleneck",
    "depthwise": "depth_conv",
    "squeeze_excite": "depth_conv.se.fc",
    "project": "point_linear",
    "head": "final_expand_layer",
    "mix": "feature_mix_layer",
    "classifier": "classifier.linear",
}
_LEAVES = {
    "weight": "conv.weight",
    "gamma": "bn.weight",
    "beta": "bn.bias",
    "transforms.to5": "conv.7to5_matrix",
    "transforms.to3": "conv.5to3_matrix",
}


def _name_in_ofa(name: str) -> str:
    """What OFA calls a tensor of our supernet; its blocks are counted through, the first stage has one of them."""
    if name.startswith("stages."):
        _, stage, block, layer, leaf = name.split(".", 4)
        index = max(4 * int(stage) - 3, 0) + int(block)
        return f"blocks.{index}.conv.{_in_layer(layer, leaf)}"
    return _in_layer(*name.split(".", 1))


def _in_layer(layer: str, leaf: str) -> str:
    plain = layer in ("squeeze_excite", "classifier")  # torch's own layers
    return f"{_LAYERS[layer]}.{leaf if plain else _LEAVES[leaf]}"
