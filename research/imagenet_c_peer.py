"""Our corruptions of 224 pixels beside those of the package imagecorruptions 1.1.2, given the same random numbers.

    pip download --no-deps imagecorruptions==1.1.2 && unzip -d DIR imagecorruptions-1.1.2-py3-none-any.whl
    python -m research.imagenet_c_peer DIR

The package can't be installed beside ours: it requires opencv-python, which writes the files of opencv-python-headless.
It calls functions that NumPy, scikit-image, Pillow and setuptools have dropped since, so those are put back around it.
OTHERWISE names where it departs from ImageNet-C's own script, which has no package. Figures: docs/audit.md.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch
from zlib import crc32

import click
import numpy as np
import PIL.Image

from flatnas.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from flatnas.corruptions.blur import GLASS
from flatnas.corruptions.corruption import Pixels
from research.severity_sizes import squares, strength

OTHERWISE = {
    "motion_blur": "its sums are not rounded to 16 and 8 bits",
    "snow": "cuts the flakes at the upper left, not in the middle, and rounds them",
    "frost": "enlarges the photographs by a tenth",
    "elastic_transform": "no affine map, other displacements",
    "jpeg_compression": "libjpeg-turbo, not libjpeg 9b",
    "impulse_noise": "draws by scikit-image's own generator",
}
PICTURES = 6


class _Numbers:
    """Stands for `numpy.random`: the numbers that our corruption of one picture draws, in the order of the package."""

    def __init__(self, name: str, severity: int, index: int, side: int) -> None:
        key = np.array([0, crc32(name.encode()) << 8 | severity], np.uint64)
        self._rng = np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, index], np.uint64)))
        self._offsets = self._glass(severity, side) if name == "glass_blur" else iter(())

    def _glass(self, severity: int, side: int) -> Iterator[Any]:
        p = GLASS.imagenet_c[severity - 1]
        inner = side - 2 * p.reach
        return iter(self._rng.integers(-p.reach, p.reach, (p.iterations, inner, inner, 2)).reshape(-1, 2))

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Any = None) -> Any:
        return self._rng.normal(loc, scale, size) if loc else scale * self._rng.standard_normal(size)

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        return self._rng.uniform(low, high, size)

    def poisson(self, lam: Any) -> Any:
        return self._rng.poisson(lam)

    def randint(self, low: int, high: int | None = None, size: Any = None) -> Any:
        return next(self._offsets) if size == (2,) else self._rng.integers(low, high)


class _NumPy:
    """NumPy as it was, with our random numbers."""

    float_ = np.float64

    def __init__(self, random: _Numbers) -> None:
        self.random = random

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def load(folder: Path) -> ModuleType:
    """The package's functions, from an unpacked wheel."""
    resources = ModuleType("pkg_resources")
    resources.resource_filename = lambda _module, name: str(folder / "imagecorruptions" / name)  # type: ignore[attr-defined]
    interpolation = ModuleType("scipy.ndimage.interpolation")
    interpolation.map_coordinates = importlib.import_module("scipy.ndimage").map_coordinates  # type: ignore[attr-defined]
    stand_ins = {"pkg_resources": resources, "scipy.ndimage.interpolation": interpolation}
    with patch.dict(sys.modules, stand_ins), patch.object(sys, "path", [str(folder), *sys.path]):
        package = importlib.import_module("imagecorruptions.corruptions")
    gaussian = package.gaussian

    def with_channels(image: Any, sigma: Any, multichannel: bool = False, **options: Any) -> Any:
        return gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **options)

    def from_start(file: Any) -> Any:
        file.seek(0)
        return PIL.Image.open(file)

    package.gaussian = with_channels  # type: ignore[attr-defined]
    package.Image = SimpleNamespace(open=from_start, BOX=PIL.Image.BOX, NEAREST=PIL.Image.NEAREST)  # type: ignore[attr-defined]
    return package


def theirs(package: ModuleType, name: str, severity: int, images: Pixels) -> Pixels:
    """What the package makes of each picture; float results are truncated, as ImageNet-C's script does."""
    function: Callable[..., Any] = getattr(package, name)
    made = []
    for index, image in enumerate(images):
        package.np = _NumPy(_Numbers(name, severity, index, len(image)))  # type: ignore[attr-defined]
        made.append(np.asarray(function(PIL.Image.fromarray(image), severity)).astype(np.uint8))
    return np.stack(made)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def compare(folder: Path) -> None:
    """Print, for each corruption, the largest difference over all severities, and both strengths at severity 5."""
    package = load(folder)
    whole = squares()
    images = whole[:: len(whole) // PICTURES][:PICTURES]
    click.echo(f"{len(images)} squares of 224 pixels; strength is 1 - correlation with the clean picture at severity 5")
    click.echo(f"{'':18}{'largest':>8}{'differ':>9}{'ours':>8}{'theirs':>8}")
    for name in CORRUPTIONS:
        pairs = [
            (corrupt(images, name, severity, range(len(images))), theirs(package, name, severity, images))
            for severity in SEVERITIES
        ]
        difference = np.stack([np.abs(a.astype(int) - b) for a, b in pairs])
        ours, its = (strength(images, made) for made in pairs[-1])
        row = f"{name:18}{difference.max():8}{(difference > 0).mean():9.2%}{ours:8.3f}{its:8.3f}"
        click.echo(f"{row}  {OTHERWISE.get(name, '')}".rstrip())


if __name__ == "__main__":
    compare()
