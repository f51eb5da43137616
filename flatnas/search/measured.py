"""What is known of a subnet once it is measured: raw numbers, from which F_AR is computed when it is needed."""

from __future__ import annotations

from dataclasses import dataclass

from flatnas.space.arch import Arch


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
