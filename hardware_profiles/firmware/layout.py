"""A layer's numbers, as a kernel is asked whether it does the layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Multiplier(NamedTuple):
    """A real factor as mantissa / 2^31 / 2^shift; the mantissa is 0 or in [2^30, 2^31). Negative shifts go left."""

    mantissa: int
    shift: int


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The numbers of a layer; those that its operator does not have keep their defaults.

    Attributes:
        weights: int8, shape (C_out, steps).
        bias: with the input's zero point folded in.
        factors: of the requantization, one per output channel.
        add: factors of both summands and of the sum, where its epilogue adds.
    """

    weights: Array = field(default_factory=lambda: np.zeros((0, 0), np.int8))
    bias: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    factors: Sequence[Multiplier] = ()
    add: Sequence[Multiplier] = ()
