"""What is known of a subnet once it is measured: raw numbers, from which F_AR is computed when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flatnas.space.arch import Arch
from hardware_profiles.footprint import Footprint


@dataclass(frozen=True, slots=True)
class Flatness:
    """R(x): the mean absolute change of accuracy under one kind of perturbation; see `flatnas.search.flatness`.

    Attributes:
        perturbation: as `gaussian_name` calls weight noise, or the name of a rounding.
        r: a fraction of images.
        low: lower end of its 95 % interval over images and draws.
        high: upper end.
    """

    perturbation: str
    r: float
    low: float
    high: float


def gaussian_name(sigma: float, *, recalibrated: bool = False) -> str:
    """What the weight noise of one sigma is called in results, with or without batch norms recalibrated after it."""
    return f"{'recalibrated-' if recalibrated else ''}gaussian-{sigma:g}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one subnet, whatever the target.

    Attributes:
        clean_error: top-1 error on validation images, in [0, 1].
        flatness: R under each perturbation.
        corrupted_error: mean error under `SELECTING_CORRUPTIONS`; None where it was not measured.
    """

    arch: Arch
    clean_error: float
    flatness: tuple[Flatness, ...]
    corrupted_error: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured of one subnet, and what it costs on the target."""

    measured: Measured
    footprint: Footprint

    @property
    def arch(self) -> Arch:
        """The subnet."""
        return self.measured.arch

    @property
    def clean_error(self) -> float:
        """Top-1 error on validation images, in [0, 1]."""
        return self.measured.clean_error

    def flatness(self, perturbation: str) -> Flatness:
        """R under one perturbation."""
        return next(f for f in self.measured.flatness if f.perturbation == perturbation)

    def r(self, sigmas: Sequence[float]) -> float:
        """Mean R over the weight noise of these sigmas."""
        return sum(self.flatness(gaussian_name(sigma)).r for sigma in sigmas) / len(sigmas)
