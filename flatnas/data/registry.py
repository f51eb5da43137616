"""Every data set known by name, and pictures of the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flatnas.data.dataset import Dataset, Images, content_sha256
from flatnas.data.grey import to_grey
from flatnas.data.preparation import AS_THEY_ARE, Preparation
from flatnas.data.progress import Progress, silent
from flatnas.errors import DataError
from flatnas.space.spaces import MCU_RESOLUTIONS

NAMES = ("cifar10", "cifar100", "digits")


def load_dataset(
    name_or_path: str,
    data_dir: Path | None = None,
    preparation: Preparation = AS_THEY_ARE,
    allowed: range = MCU_RESOLUTIONS,
    progress: Progress = silent,
) -> Dataset:
    """`cifar10`, `cifar100`, `digits`, or pictures of the user's own.

    Args:
        name_or_path: one of `NAMES`, or the path of a folder or of a CSV file; a name wins over a folder so called
            (write `./digits`).
        data_dir: where CIFAR is looked for first; then `PIPELINE_DATA` and the user's cache directory.
        preparation: what is done to the pictures; by default own ones keep their size, as far as allowed.
        allowed: the sides that the search space takes.

    Raises:
        MissingDataError: the data is not on this machine.
        DataError: the data is unknown, damaged or unfit, or the size is not allowed.
    """
    if name_or_path in NAMES:
        return _as_wanted(_load_named(name_or_path, data_dir), preparation)
    from flatnas.data.image_folder import is_own_data, load_image_folder, open_folder, size_of

    path = Path(name_or_path)
    if not is_own_data(path):
        raise DataError(
            f"no data set '{name_or_path}'; choose one of {', '.join(NAMES)}, or name an existing folder of images or "
            "a list of them (.csv)"
        )
    opened = open_folder(path, preparation.group_by)
    return load_image_folder(path, opened, preparation, size_of(opened, preparation, allowed), progress)


def _as_wanted(data: Dataset, preparation: Preparation) -> Dataset:
    """A data set whose pictures have a size of their own, in the colours that are asked for."""
    if preparation.size_hw not in (None, data.size_hw):
        height, width = preparation.size_hw
        wanted = str(height) if height == width else f"{width} x {height}"
        raise DataError(
            f"the images of '{data.name}' have {data.resolution} pixels, not {wanted}; "
            "a resolution can be chosen for folders of images only"
        )
    if preparation.group_by is not None:
        raise DataError(f"the images of '{data.name}' are split already; groups are for folders of images")
    if preparation.mirrors is not None:
        data = replace(data, mirrors=preparation.mirrors)
    if preparation.channels == data.channels:
        return data
    train, val, test = (_grey(part) for part in (data.train, data.val, data.test))
    return replace(data, train=train, val=val, test=test, content_sha256=content_sha256(train, val, test))


def _grey(images: Images) -> Images:
    return replace(images, pixels_nhwc=to_grey(images.pixels_nhwc))


def _load_named(name: str, data_dir: Path | None) -> Dataset:
    if name == "digits":
        from flatnas.data.digits import load_digits

        return load_digits()
    if name == "cifar100":
        from flatnas.data.cifar100 import load_cifar100

        return load_cifar100(data_dir)
    from flatnas.data.cifar import load_cifar10

    return load_cifar10(data_dir)
