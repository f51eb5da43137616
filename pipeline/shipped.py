"""What the package ships."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path

from flatnas.arch import SearchSpace


def shipped_supernet() -> AbstractContextManager[Path]:
    """The path of the CIFAR-10 supernet, while the context lasts."""
    return as_file(files("flatnas") / "pretrained" / "cifar10.safetensors")


def shipped_space(num_classes: int, resolution: int) -> SearchSpace:
    """The space of the shipped supernet, for other classes and another resolution."""
    from flatnas.spaces import space_named
    from flatnas.supernet_file import read_space

    with shipped_supernet() as path:
        return space_named(read_space(path).name, num_classes, resolution)
