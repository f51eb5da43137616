"""The kernels: which does an operator on an instruction set, and in which order it wants its weights.

A kernel that is faster accepts less; the portable one, last in its row, takes everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.firmware.fixed_point import Multiplier
from hardware_profiles.firmware import InstructionSet

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a kernel is asked whether it accepts it: geometry, folded bias, and multipliers of a weighted layer."""

    geometry: Mapping[str, int]
    weights: Array
    bias: Array
    factors: Sequence[Multiplier]


def as_is(values: Array) -> Array:
    """The order of the file."""
    return values


def anything(layout: Layout) -> bool:
    """What the portable kernels accept."""
    return True


@dataclass(frozen=True, slots=True)
class Kernel:
    """A C function.

    Attributes:
        files: of the runtime, that hold it and what it calls.
        needs: the instruction set it is written in; `scalar` runs everywhere.
        accepts: whether it does a layer.
        pack: int8 weights (C_out, steps) to its own order.
        pad: one value per output channel to as many as it reads.
        multipliers: mantissas to the form it wants.
    """

    function: str
    files: tuple[str, ...]
    needs: InstructionSet = "scalar"
    accepts: Callable[[Layout], bool] = anything
    pack: Callable[[Array], Array] = as_is
    pad: Callable[[Array], Array] = as_is
    multipliers: Callable[[Array], Array] = as_is


def pack_4x2(weights: Array) -> Array:
    """Words of two steps of two channels, [a0, b0, a1, b1], channels and steps padded with zeros.

    Steps go in groups of four as SXTB16 unpacks their bytes: 0 and 2, then 1 and 3.
    """
    channels, steps = weights.shape
    padded = np.zeros((-(-channels // 2) * 2, -(-steps // 4) * 4), np.int8)
    padded[:channels, :steps] = weights
    grouped = padded.reshape(len(padded) // 2, 2, -1, 4)[..., [0, 2, 1, 3]]
    return grouped.reshape(len(padded) // 2, 2, -1).transpose(0, 2, 1).reshape(-1)


def pad_to_even(values: Array) -> Array:
    """A zero behind an odd number of values."""
    return np.pad(values, (0, len(values) % 2))


def twice_less_one(mantissas: Array) -> Array:
    """2 * m - 2^32: what SMMLAR wants, see nn_high_mul_twice."""
    return 2 * mantissas - (1 << 32)


def _dsp_range(layout: Layout) -> bool:
    """Whether SMMLAR's requantization holds: shifts to the right, sums that leave room for the rounding's bits."""
    shifts = np.array([f.shift for f in layout.factors])
    largest = np.abs(layout.bias) + 128 * np.abs(layout.weights.astype(np.int64)).sum(1)
    mantissas = np.array([f.mantissa for f in layout.factors])
    return bool((mantissas > 0).all() and (shifts >= 1).all() and (largest + 2.0 ** (shifts + 8) < 2**30).all())


def _dsp_conv(layout: Layout) -> bool:
    return layout.geometry["dilation_h"] == layout.geometry["dilation_w"] == 1 and _dsp_range(layout)


def _dsp_depthwise(layout: Layout) -> bool:
    g = layout.geometry
    square = g["kernel_h"] == g["kernel_w"] and g["stride_h"] == g["stride_w"] and g["in_c"] == g["out_c"]
    return square and g["kernel_h"] in (3, 5, 7) and g["stride_h"] in (1, 2) and _dsp_conv(layout)


CONV_C = Kernel("nn_conv_c", ("conv_c.c",))
CONV_DSP = Kernel(
    "nn_conv_dsp",
    ("conv_dsp.c", "dot_4x2_dsp.S", "nn_dsp.h"),
    needs="dsp",
    accepts=_dsp_conv,
    pack=pack_4x2,
    pad=pad_to_even,
    multipliers=twice_less_one,
)
DEPTHWISE_C = Kernel("nn_depthwise_c", ("depthwise_c.c",))
DEPTHWISE_DSP = Kernel(
    "nn_depthwise_dsp",
    ("depthwise_dsp.c", "nn_dsp.h"),
    needs="dsp",
    accepts=_dsp_depthwise,
    multipliers=twice_less_one,
)

# Fastest first; a layer gets the first kernel that the core can run and that accepts it.
KERNELS: Mapping[str, tuple[Kernel, ...]] = {
    "CONV_2D": (CONV_DSP, CONV_C),
    "DEPTHWISE_CONV_2D": (DEPTHWISE_DSP, DEPTHWISE_C),
    "FULLY_CONNECTED": (CONV_DSP, CONV_C),
    "ADD": (Kernel("nn_add_c", ("add_c.c",)),),
    "AVERAGE_POOL_2D": (Kernel("nn_average_pool_c", ("average_pool_c.c",)),),
    "SOFTMAX": (Kernel("nn_softmax_c", ("softmax_c.c",)),),
}


def kernel_for(op: str, instruction_set: InstructionSet, layout: Layout | None = None) -> Kernel:
    """The kernel of an operator on an instruction set; `layout` of a weighted layer."""
    runnable = (k for k in KERNELS[op] if k.needs in ("scalar", instruction_set))
    return next(k for k in runnable if layout is None or k.accepts(layout))
