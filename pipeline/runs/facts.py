"""What a stage's settings may name: the configuration, the profile, and facts of data and machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatnas.data.dataset import Dataset
from hardware_profiles.profile import HardwareProfile
from pipeline.config import SETTINGS, RunConfig
from pipeline.runs.places import without_places


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where the settings of a run's stages come from.

    Attributes:
        data_dir: where the user keeps data sets; None for the usual places.
    """

    config: RunConfig
    profile: HardwareProfile
    data: Dataset
    data_dir: Path | None = None

    @property
    def asked(self) -> RunConfig:
        """The configuration without paths, which no outcome may depend on."""
        return without_places(self.config)

    def value_of(self, name: str) -> Any:
        """The value of a setting: of the configuration, of the profile, or a fact.

        Raises:
            ValueError: nothing has that name.
        """
        if name in FACTS:
            return FACTS[name](self)
        if name in SETTINGS:
            return SETTINGS[name].of(self.asked)
        if hasattr(self.profile, name):
            return getattr(self.profile, name)
        raise ValueError(f"no setting '{name}' in configuration, profile or facts")


def _supernet_sha256(origin: Origin) -> str | None:
    """Of the supernet that the user named."""
    from pipeline.files import sha256_of

    return sha256_of(Path(origin.config.supernet.supernet)) if origin.config.supernet.supernet else None


def _shipped_supernet_sha256(origin: Origin) -> str | None:
    """Of the shipped supernet, where the run starts from it."""
    from pipeline.files import sha256_of
    from pipeline.shipped import shipped_supernet

    if origin.config.supernet.supernet:
        return None
    with shipped_supernet() as path:
        return sha256_of(path)


def _shipped_labels_sha256(origin: Origin) -> str | None:
    """Of the shipped soft labels that the run may take."""
    from pipeline.files import sha256_of
    from pipeline.shipped import shipped_labels

    if origin.config.supernet.teacher not in ("auto", "labels"):
        return None
    with shipped_labels(robust=origin.config.training.augment != "none") as path:
        return None if path is None else sha256_of(path)


def _corrupted_files(origin: Origin) -> str | None:
    """What names the official corrupted files of the data; None where they are generated."""
    from flatnas.data.cifar_c import find_corrupted, identity

    found = find_corrupted(origin.data.name, origin.data_dir)
    return None if found is None else identity(found, origin.data.name)


def _firmware_tools(origin: Origin) -> str | None:
    """Compiler and emulator of the target's core: a proof that lacked one is made once it is there."""
    from hardware_profiles.cores import FIRMWARE_CORES
    from pipeline.firmware_proof import find_tools

    if origin.profile.core not in FIRMWARE_CORES:
        return None
    tools = find_tools(origin.profile)
    compiler = f"{tools.toolchain.name} {tools.toolchain.version}" if tools.toolchain else "no compiler"
    return f"{compiler}, {tools.emulator.name if tools.emulator else 'no emulator'}"


def _host_compiler(origin: Origin) -> bool:
    """Whether firmware can be compiled for this machine, to compute as a device does."""
    from export.runtime.build import host_compiler

    return host_compiler() is not None


def _device_runtimes(_origin: Origin) -> tuple[str, ...]:
    """Runtimes with a device's kernels that are installed here: what lacked one is compared once it is there."""
    from export.run.tflite_runtimes import tflm_installed

    return ("tflm",) if tflm_installed() else ()


FACTS: Mapping[str, Callable[[Origin], Any]] = {
    "config": lambda origin: origin.asked,
    "profile": lambda origin: origin.profile,
    "qat_epochs": lambda origin: origin.config.training.qat_epochs,
    "class_names": lambda origin: origin.data.class_names,
    "supernet_sha256": _supernet_sha256,
    "shipped_supernet_sha256": _shipped_supernet_sha256,
    "shipped_labels_sha256": _shipped_labels_sha256,
    "corrupted_files": _corrupted_files,
    "firmware_tools": _firmware_tools,
    "host_compiler": _host_compiler,
    "device_runtimes": _device_runtimes,
}
