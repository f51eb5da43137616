"""The benchmark sets: folders `train/`, `val/` and `test/` with a folder of PNG per class, the same every time.

Never CIFAR-10: the shipped supernet has seen it. An emoji lies in one part alone, and so does every piece of a
photograph that test pictures stand on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from flatnas.data.dataset import Dataset, Images, content_sha256
from flatnas.data.resize import resize
from research.own_pictures import packages, scenes
from research.own_pictures.packages import Emoji, Pixels

PARTS = ("train", "val", "test")
FASHION_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"
)  # fmt: skip
_FASHION_VAL = 6000  # of the 60,000 training pictures
_SHARES = (0.7, 0.1, 0.2)  # of a category's emoji
_THINGS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")

Picture = tuple[str, str, Pixels]  # part, class, pixels


@dataclass(frozen=True, slots=True)
class EmojiClass:
    """A class of emoji.

    Attributes:
        categories: of Unicode, or one of its subcategories' first word.
        counts: pictures in train, val and test.
    """

    name: str
    categories: tuple[str, ...]
    counts: tuple[int, int, int]


_PERSON = EmojiClass("person", ("person", "family"), (765, 135, 300))
_OTHER = EmojiClass("other", _THINGS, (1785, 315, 700))
_THREE = tuple(EmojiClass(name.split()[0].lower(), (name,), (51, 9, 100)) for name in _THINGS[:3])
_RARER = tuple(
    EmojiClass(name.split()[0].lower(), (name,), (train, max(train // 6, 6), 60))
    for name, train in zip(_THINGS, (400, 200, 100, 50, 25), strict=True)
)


def _emoji_set(classes: Sequence[EmojiClass], side: int, seed: int, folder: Path) -> Iterator[Picture]:
    grounds = list(packages.photographs().values())
    for c, kind in enumerate(classes):
        members = parts_of([e for e in _all_emoji(folder) if _belongs(e, kind)], [seed, c])
        for p, part in enumerate(PARTS):
            for number in range(kind.counts[p]):
                rng = np.random.default_rng([seed, c, p, number])
                ground = scenes.background(grounds, side, rng, test=part == "test")
                yield part, kind.name, scenes.pasted(members[part][number % len(members[part])], ground, rng)


def parts_of(emoji: Sequence[Emoji], seed: Sequence[int]) -> Mapping[str, Sequence[Emoji]]:
    """Which emoji the pictures of each part show: 70, 10 and 20 % of them, none in two parts."""
    order = np.random.default_rng(seed).permutation(len(emoji))
    ends = np.rint(np.cumsum([0.0, *_SHARES]) * len(emoji)).astype(int)
    return {part: [emoji[i] for i in order[ends[p] : ends[p + 1]]] for p, part in enumerate(PARTS)}


def _belongs(emoji: Emoji, kind: EmojiClass) -> bool:
    return emoji.category in kind.categories or emoji.subcategory.split("-")[0] in kind.categories


@cache
def _all_emoji(folder: Path) -> tuple[Emoji, ...]:
    return packages.emoji(folder)


def _surfaces(side: int, seed: int, _folder: Path) -> Iterator[Picture]:
    counts = {"good": (1020, 180, 400), "scratched": (68, 12, 100)}
    for c, (name, by_part) in enumerate(counts.items()):
        for p, part in enumerate(PARTS):
            for number in range(by_part[p]):
                rng = np.random.default_rng([seed, c, p, number])
                yield part, name, scenes.surface(side, rng, scratched=name == "scratched")


def _fashion_set(per_class: tuple[int, int, int] | None, folder: Path) -> Iterator[Picture]:
    """All of Fashion-MNIST, or so many pictures of each class in train, val and test."""
    training, test = packages.fashion(folder, "train"), packages.fashion(folder, "t10k")
    val = _FASHION_VAL // len(FASHION_CLASSES)
    for label, name in enumerate(FASHION_CLASSES):
        mine, judged = training[0][training[1] == label], test[0][test[1] == label]
        parts = {"train": mine[val:], "val": mine[:val], "test": judged}
        for p, part in enumerate(PARTS):
            count = None if per_class is None else per_class[p]
            yield from ((part, name, pixels) for pixels in parts[part][:count])


SETS: Mapping[str, Callable[[Path], Iterator[Picture]]] = {
    "fashion": partial(_fashion_set, None),
    "fashion-500": partial(_fashion_set, (42, 8, 100)),
    "person-96": partial(_emoji_set, (_OTHER, _PERSON), 96, 1),
    "three-64": partial(_emoji_set, _THREE, 64, 2),
    "rare-64": partial(_emoji_set, _RARER, 64, 3),
    "scratches-64": partial(_surfaces, 64, 4),
}


def build(name: str, directory: Path, folder: Path) -> Path:
    """Write a set into `directory`/`name`, whole or not at all; one that is there stays.

    Args:
        folder: of fetched packages.
    """
    target = directory / name
    if target.is_dir():
        return target
    unfinished = directory / f".{name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    numbers: dict[Path, int] = {}
    for part, label, pixels in SETS[name](folder):
        place = unfinished / part / label
        if place not in numbers:
            place.mkdir(parents=True)
        numbers[place] = numbers.get(place, 0) + 1
        Image.fromarray(pixels).save(place / f"{numbers[place]:05}.png")
    return unfinished.rename(target)


def read(folder: Path, resolution: int | None = None) -> Dataset:
    """A set that `build` wrote; pictures as RGB at their own size or at `resolution`."""
    names = tuple(sorted(path.name for path in (folder / "train").iterdir()))
    parts = []
    for part in PARTS:
        paths = [(path, label) for label, name in enumerate(names) for path in sorted((folder / part / name).iterdir())]
        pixels = np.stack([np.array(Image.open(path).convert("RGB")) for path, _ in paths])
        kept = pixels if resolution is None else resize(pixels, resolution)
        parts.append(Images(kept, np.array([label for _, label in paths], np.int64)))
    side = parts[0].pixels_nhwc.shape[1]
    return Dataset(folder.name, names, parts[0], parts[1], parts[2], content_sha256(*parts), shift=side // 8)
