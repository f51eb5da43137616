"""What the package ships."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path


def shipped_supernet() -> AbstractContextManager[Path]:
    """The path of the CIFAR-10 supernet, while the context lasts."""
    return as_file(files("flatnas") / "pretrained" / "cifar10.safetensors")
