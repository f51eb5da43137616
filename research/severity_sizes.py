"""How strong each table of severities is at each size of picture: 1 - correlation with the clean picture.

    python -m research.severity_sizes [--severity 5] [--sides 32,48,64,96,128,160,224]

Photographs of scikit-image and scikit-learn are cut into squares of 224 pixels, as they are and at half their size, and
each square is shrunk by area to every size, so that all sizes show the same. Figures: docs/audit.md.
"""

from __future__ import annotations

import click
import numpy as np
import numpy.typing as npt

from flatnas.corruptions import CORRUPTIONS, corrupt
from flatnas.corruptions.severities import TABLES
from flatnas.data.resize import resize, resize_one

Pixels = npt.NDArray[np.uint8]
LARGEST = 224


def squares() -> Pixels:
    """About forty squares of 224 pixels, shape (N, 224, 224, 3)."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    photographs = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    photographs += [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    halves = [resize_one(photo, photo.shape[0] // 2, photo.shape[1] // 2) for photo in photographs]
    return np.stack(
        [
            photo[top : top + LARGEST, left : left + LARGEST]
            for photo in (*photographs, *halves)
            for top in range(0, photo.shape[0] - LARGEST + 1, 200)
            for left in range(0, photo.shape[1] - LARGEST + 1, 200)
        ]
    )


def strength(clean: Pixels, corrupted: Pixels) -> float:
    """1 - correlation of all values of a picture, averaged over the pictures."""
    pairs = zip(clean, corrupted, strict=True)
    return float(np.mean([1 - np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))


@click.command()
@click.option("--severity", default=5, show_default=True, type=click.IntRange(1, 5))
@click.option("--sides", default="32,48,64,96,128,160,224", show_default=True)
def measure(severity: int, sides: str) -> None:
    """Print a row per corruption and table."""
    each, whole = [int(side) for side in sides.split(",")], squares()
    click.echo(f"{len(whole)} squares, severity {severity}, 1 - correlation")
    click.echo(f"{'':34}" + "".join(f"{side:8}" for side in each))
    for name in CORRUPTIONS:
        for table in TABLES:
            shrunk = (resize(whole, side) for side in each)
            row = [strength(x, corrupt(x, name, severity, range(len(x)), table=table)) for x in shrunk]
            click.echo(f"{name:18}{table:16}" + "".join(f"{value:8.3f}" for value in row))


if __name__ == "__main__":
    measure()
