"""CIFAR-100 by its fine labels, from the official binary files; see `flatnas.data.cifar`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from flatnas.data.cifar import Release, load_release
from flatnas.data.dataset import Dataset
from flatnas.data.published import Published

# Size and SHA-256 as TensorFlow Datasets 1.0 lists them (url_checksums/cifar100.txt); the site publishes an MD5 alone.
ARCHIVE = Published(
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    168_513_733,
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
)
_CLASS_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100 = Release(
    "cifar100",
    "CIFAR-100",
    "cifar-100-binary",
    ("cifar-100-binary.tar.gz", "cifar-100-binary.tar.xz", "cifar-100-binary.tar"),
    {"train.bin": "6172c7755cfe09b2fe270c85cebc1b15", "test.bin": "4499cfba6c016c1be1438163640a0898"},
    tuple(_CLASS_NAMES.split()),
    label_bytes=2,
)


def load_cifar100(
    data_dir: Path | None = None, *, md5: Mapping[str, str] | None = None, cache_dir: Path | None = None
) -> Dataset:
    """CIFAR-100: 45,000 training, 5,000 validation and 10,000 test images of 100 classes.

    Args:
        data_dir: searched before the directory `PIPELINE_DATA` and the cache.
        md5: expected digest of `train.bin` and `test.bin`, in place of the published ones.
        cache_dir: in place of the user's cache directory.

    Raises:
        MissingDataError: none of the directories holds it.
        DataError: a file is damaged.
    """
    return load_release(CIFAR100 if md5 is None else replace(CIFAR100, md5=md5), data_dir, cache_dir)
