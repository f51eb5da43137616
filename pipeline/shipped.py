"""What the package ships."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.resources import as_file, files
from pathlib import Path

from flatnas.space.arch import SearchSpace


def shipped_supernet() -> AbstractContextManager[Path]:
    """The path of the CIFAR-10 supernet, while the context lasts."""
    return as_file(files("flatnas") / "pretrained" / "cifar10.safetensors")


@contextmanager
def shipped_labels(*, robust: bool) -> Iterator[Path | None]:
    """The path of CIFAR-10's soft labels, while the context lasts; None where there are none of that kind.

    Args:
        robust: of the teacher that was trained on augmented images.
    """
    file = files("flatnas") / "pretrained" / f"cifar10{'-robust' if robust else ''}.labels.safetensors"
    if not file.is_file():
        yield None
        return
    with as_file(file) as path:
        yield path


def shipped_space(num_classes: int, resolution: int) -> SearchSpace:
    """The space of the shipped supernet, for other classes and another resolution."""
    from flatnas.nets.supernet_file import read_space
    from flatnas.space.spaces import space_named

    with shipped_supernet() as path:
        return space_named(read_space(path).name, num_classes, resolution)
