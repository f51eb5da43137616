"""A supernet as a safetensors file: float16 weights, and in the metadata which space they are of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from flatnas.errors import SupernetError
from flatnas.nets.supernet import Supernet
from flatnas.space.arch import SearchSpace
from flatnas.space.spaces import space_named

_SPACE, _CLASSES = "space", "class_names"  # the key of the metadata; of its JSON, the key that only some files have


def serialize_supernet(supernet: Supernet, class_names: Sequence[str] = ()) -> bytes:
    """The weights as float16 safetensors, with the space's name, resolution and number of classes.

    Args:
        class_names: in the order of the logits, where they are known.

    Raises:
        SupernetError: a weight is not finite in float16.
    """
    from safetensors.torch import save

    space = supernet.space
    described: dict[str, Any] = {"name": space.name, "num_classes": space.num_classes}
    described["resolution"] = space.resolutions[-1]
    if class_names:
        described[_CLASSES] = list(class_names)
    tensors = {name: value.cpu().to(torch.float16).contiguous() for name, value in supernet.state_dict().items()}
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise SupernetError(f"'{name}' is not finite in float16: the training diverged; lower --learning-rate")
    content: bytes = save(tensors, {_SPACE: json.dumps(described)})  # one key: safetensors writes several in any order
    return content


def read_space(path: Path) -> SearchSpace:
    """The space that a supernet file is of; its weights are not read.

    Raises:
        SupernetError: the file is not a supernet, or not of a space known here.
    """
    described = _description(path)
    described.pop(_CLASSES, None)
    try:
        return space_named(**described)
    except (TypeError, ValueError) as error:
        raise SupernetError(f"{path}: {error}") from error


def read_class_names(path: Path) -> tuple[str, ...]:
    """The classes that a supernet file was trained for, in the order of its logits; none where it doesn't say.

    Raises:
        SupernetError: the file is not a supernet.
    """
    return tuple(_description(path).get(_CLASSES, ()))


def load_supernet(path: Path) -> Supernet:
    """Read a file of `serialize_supernet`'s bytes.

    Raises:
        SupernetError: the file is not a supernet, not of a space known here, or holds numbers that are not finite.
    """
    from safetensors.torch import load_file

    supernet = Supernet(read_space(path))
    try:
        supernet.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except RuntimeError as error:
        raise SupernetError(f"{path} holds other weights than space '{supernet.space.name}' has") from error
    for name, value in supernet.state_dict().items():
        if not value.isfinite().all():
            raise SupernetError(f"{path} is damaged: '{name}' holds numbers that are not finite")
    return supernet.to(memory_format=torch.channels_last)


def with_new_head(supernet: Supernet, num_classes: int, resolution: int) -> Supernet:
    """A copy for other classes and another resolution: its classifier starts from zero, its features are kept."""
    adapted = Supernet(space_named(supernet.space.name, num_classes, resolution))
    state = {name: t for name, t in supernet.state_dict().items() if not name.startswith("classifier.")}
    adapted.load_state_dict(state, strict=False)
    nn.init.zeros_(adapted.classifier.weight)
    nn.init.zeros_(adapted.classifier.bias)
    return adapted.to(memory_format=torch.channels_last)


def _description(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise SupernetError(
            f"{path} can't be read as safetensors: {error}; 'pipeline supernet' writes such files"
        ) from error
    try:
        described: dict[str, Any] = dict(json.loads(metadata[_SPACE]))
    except (KeyError, TypeError, ValueError) as error:
        raise SupernetError(
            f"{path} is no supernet: it names neither its space nor its classes and resolution"
        ) from error
    return described
