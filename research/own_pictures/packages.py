"""Where the pictures come from: packages of registries, fetched by their ordinary clients into a folder that is kept.

Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747, MIT) is Debian's package `dataset-fashion-mnist`; the emoji are
Twemoji (CC BY 4.0) in the npm package `emoji-datasource-twitter`; the photographs lie in scikit-image.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.errors import PipelineError

Pixels = npt.NDArray[np.uint8]

EMOJI_PACKAGE = "emoji-datasource-twitter@16.0.0"
_LIST, _PICTURES = "package/emoji.json", "package/img/twitter/64/"  # in the package
FASHION_PACKAGE = "dataset-fashion-mnist"
_INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # where Debian puts it
_IMAGES_HEADER, _LABELS_HEADER = 16, 8  # bytes before the values of an idx file of rank 3 and 1
_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, eq=False)
class Emoji:
    """A picture of a thing: RGBA (64, 64, 4), and where Unicode sorts it."""

    code: str
    category: str
    subcategory: str
    rgba: Pixels


def emoji(packages: Path) -> tuple[Emoji, ...]:
    """Every emoji of the package that has a picture, by its code; no skin-tone variants.

    Args:
        packages: folder in which a fetched package is kept.
    """
    archive = packages / "emoji-datasource-twitter-16.0.0.tgz"
    if not archive.is_file():
        _call(["npm", "pack", EMOJI_PACKAGE, "--ignore-scripts", "--pack-destination", str(packages)], packages)
    with tarfile.open(archive) as tar:
        members = (m for m in tar if m.name == _LIST or m.name.startswith(_PICTURES))
        content = {m.name: file.read() for m in members if (file := tar.extractfile(m))}
    found = []
    for entry in json.loads(content[_LIST]):
        png = content.get(_PICTURES + entry["image"])
        if png:
            rgba = np.array(Image.open(BytesIO(png)).convert("RGBA"))
            found.append(Emoji(Path(entry["image"]).stem, entry["category"], entry["subcategory"], rgba))
    return tuple(sorted(found, key=lambda e: e.code))


def photographs() -> Mapping[str, Pixels]:
    """Photographs of scikit-image without people, RGB (H, W, 3), by name."""
    from skimage import data

    motorcycle, _, _ = data.stereo_motorcycle()
    found = {name: np.asarray(getattr(data, name)()) for name in ("chelsea", "coffee", "rocket", "grass", "gravel")}
    found |= {"brick": np.asarray(data.brick()), "motorcycle": np.asarray(motorcycle)}
    return {n: p if p.ndim == 3 else cv2.cvtColor(p, cv2.COLOR_GRAY2RGB) for n, p in sorted(found.items())}


def fashion(packages: Path, part: str) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Fashion-MNIST's pictures (N, 28, 28) and labels; `part` is `train` or `t10k`."""
    fetched = packages / "fashion"
    folders = [fetched / _INSTALLED.relative_to("/"), _INSTALLED]
    if not any(folder.is_dir() for folder in folders):
        _call(["apt-get", "download", FASHION_PACKAGE], packages)
        (archive,) = packages.glob(f"{FASHION_PACKAGE}_*.deb")
        _call(["dpkg-deb", "-x", str(archive), str(fetched)], packages)
    folder = next(folder for folder in folders if folder.is_dir())
    pixels = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    values = np.frombuffer(pixels, np.uint8, offset=_IMAGES_HEADER).reshape(-1, 28, 28)
    return values, np.frombuffer(labels, np.uint8, offset=_LABELS_HEADER).astype(np.int64)


def _call(command: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=True
        )
    except FileNotFoundError as error:
        raise PipelineError(f"{command[0]} is not installed, which would fetch '{' '.join(command)}'") from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise PipelineError(f"'{' '.join(command)}' failed; the registry may be out of reach") from error
