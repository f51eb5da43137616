"""Every data set known by name, and folders of images."""

from __future__ import annotations

from pathlib import Path

from flatnas.data.dataset import Dataset
from flatnas.errors import DataError
from flatnas.space.spaces import MCU_RESOLUTIONS

NAMES = ("cifar10", "cifar100", "digits")


def load_dataset(
    name_or_path: str,
    data_dir: Path | None = None,
    resolution: int | None = None,
    allowed: range = MCU_RESOLUTIONS,
) -> Dataset:
    """`cifar10`, `cifar100`, `digits`, or a folder of images.

    Args:
        name_or_path: one of `NAMES`, or the path of a folder; a name wins over a folder so called (write `./digits`).
        data_dir: where CIFAR is looked for first; then `PIPELINE_DATA` and the user's cache directory.
        resolution: side in pixels that a folder's pictures are resized to; by default their own, as far as allowed.
        allowed: the sides that the search space takes.

    Raises:
        MissingDataError: the data is not on this machine.
        DataError: the data is unknown, damaged or unfit, or the resolution is not allowed.
    """
    if name_or_path in NAMES:
        data = _load_named(name_or_path, data_dir)
        if resolution not in (None, data.resolution):
            raise DataError(
                f"the images of '{name_or_path}' have {data.resolution} pixels, not {resolution}; "
                "a resolution can be chosen for folders of images only"
            )
        return data
    if Path(name_or_path).is_dir():
        from flatnas.data.image_folder import load_image_folder, own_resolution

        folder = Path(name_or_path)
        side = resolution or min(max(own_resolution(folder), allowed[0]), allowed[-1])
        if side not in allowed:
            raise DataError(f"the search space takes images of {allowed[0]} to {allowed[-1]} pixels, not of {side}")
        return load_image_folder(folder, side)
    raise DataError(
        f"no data set '{name_or_path}'; choose one of {', '.join(NAMES)}, or name an existing folder of images"
    )


def _load_named(name: str, data_dir: Path | None) -> Dataset:
    if name == "digits":
        from flatnas.data.digits import load_digits

        return load_digits()
    if name == "cifar100":
        from flatnas.data.cifar100 import load_cifar100

        return load_cifar100(data_dir)
    from flatnas.data.cifar import load_cifar10

    return load_cifar10(data_dir)
