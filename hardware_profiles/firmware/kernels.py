"""The kernels: which does an operator on an instruction set, and in which order it wants its weights.

A kernel that is faster accepts less; the portable one, last in its row, takes everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hardware_profiles.cores import InstructionSet
from hardware_profiles.cost.ops import OpKind
from hardware_profiles.firmware.layout import Array, Layout, Multiplier


def _as_is(values: Array) -> Array:
    return values


def _anything(layout: Layout) -> bool:
    return True


def _plain(factor: Multiplier) -> Multiplier:
    return factor


@dataclass(frozen=True, slots=True)
class Kernel:
    """A C function.

    Attributes:
        files: of the runtime, that hold it and what it calls.
        needs: the instruction set it is written in; `scalar` runs everywhere.
        accepts: whether it does a layer.
        pack: int8 weights (C_out, steps) to its own order.
        pad: one value per output channel to as many as it reads.
        factor: multiplier to the form it wants.
    """

    function: str
    files: tuple[str, ...]
    needs: InstructionSet = "scalar"
    accepts: Callable[[Layout], bool] = _anything
    pack: Callable[[Array], Array] = _as_is
    pad: Callable[[Array], Array] = _as_is
    factor: Callable[[Multiplier], Multiplier] = _plain


def pack_4x2(weights: Array) -> Array:
    """Words of two steps of two channels, [a0, b0, a1, b1], channels and steps padded with zeros.

    Steps go in groups of four as SXTB16 unpacks their bytes: 0 and 2, then 1 and 3.
    """
    channels, steps = weights.shape
    padded = np.zeros((-(-channels // 2) * 2, -(-steps // 4) * 4), np.int8)
    padded[:channels, :steps] = weights
    grouped = padded.reshape(len(padded) // 2, 2, -1, 4)[..., [0, 2, 1, 3]]
    return grouped.reshape(len(padded) // 2, 2, -1).transpose(0, 2, 1).reshape(-1)


def pack_16(weights: Array) -> Array:
    """[channels / 16][steps][16], channels padded with zeros."""
    channels, steps = weights.shape
    padded = np.zeros((-(-channels // 16) * 16, steps), np.int8)
    padded[:channels] = weights
    return padded.reshape(-1, 16, steps).transpose(0, 2, 1).reshape(-1)


def even_channels(weights: Array) -> Array:
    """A row of zeros behind an odd number of channels."""
    return np.pad(weights, ((0, len(weights) % 2), (0, 0)))


def pad_to_even(values: Array) -> Array:
    """A zero behind an odd number of values."""
    return np.pad(values, (0, len(values) % 2))


def doubled(factor: Multiplier) -> Multiplier:
    """2 * m - 2^32 and the shift: what SMMLAR wants, see nn_high_mul_twice.

    A shift of 0 can't be rounded to; a half, which has it, is said as 2^31 / 2^31 / 2^1 then.
    """
    if factor == Multiplier(1 << 30, 0):
        return Multiplier(0, 1)
    return Multiplier(2 * factor.mantissa - (1 << 32), factor.shift)


def _dsp_range(layout: Layout) -> bool:
    """Whether SMMLAR's requantization holds: shifts to the right, sums that leave room for the rounding's bits."""
    shifts = np.array([f.shift for f in layout.factors])
    largest = np.abs(layout.bias) + 128 * np.abs(layout.weights.astype(np.int64)).sum(1)
    mantissas = np.array([f.mantissa for f in layout.factors])
    holds = (mantissas > 0) & (shifts >= 1) & (largest + 2.0 ** (shifts + 8) < 2**30)
    return bool(holds.all()) and dsp_adds(layout.add)


def dsp_adds(factors: Sequence[Multiplier]) -> bool:
    """Whether SMMLAR's addition holds for the factors of an ADD: both summands stay below 2^28."""
    return all(doubled(f).shift >= 1 and f.mantissa > 0 for f in factors) and all(f.shift <= 22 for f in factors)


def _dsp_conv(layout: Layout) -> bool:
    return layout.geometry["dilation_h"] == layout.geometry["dilation_w"] == 1 and _dsp_range(layout)


def _host_conv(layout: Layout) -> bool:
    largest = 128 * np.abs(layout.weights.astype(np.int64)).sum(1).max()
    return bool(largest < 2**24) and _dsp_conv(layout)


def _host_depthwise(layout: Layout) -> bool:
    return layout.geometry["in_c"] == layout.geometry["out_c"] and _dsp_range(layout)


def _mve_depthwise(layout: Layout) -> bool:
    g = layout.geometry
    return g["in_c"] == g["out_c"] and g["kernel_h"] * g["kernel_w"] <= 256 and _dsp_range(layout)


def _dsp_add(layout: Layout) -> bool:
    return dsp_adds(layout.add)


def _dsp_depthwise(size: int, layout: Layout) -> bool:
    g = layout.geometry
    square = g["kernel_h"] == g["kernel_w"] == size and g["stride_h"] == g["stride_w"] and g["in_c"] == g["out_c"]
    return square and g["stride_h"] in (1, 2) and _dsp_conv(layout)


CONV_C = Kernel("nn_conv_c", ("conv_c.c",))
CONV_DSP = Kernel(
    "nn_conv_dsp",
    ("conv_dsp.c", "dot_4x2_dsp.S", "nn_dsp.h"),
    needs="dsp",
    accepts=_dsp_conv,
    pack=pack_4x2,
    pad=pad_to_even,
    factor=doubled,
)
DEPTHWISE_C = Kernel("nn_depthwise_c", ("depthwise_c.c",))
DEPTHWISE_DSP = tuple(
    Kernel(
        f"nn_depthwise_{size}x{size}_dsp",
        ("depthwise_dsp.c", "nn_dsp.h"),
        needs="dsp",
        accepts=partial(_dsp_depthwise, size),
        factor=doubled,
    )
    for size in (3, 5, 7)
)
CONV_HOST = Kernel("nn_conv_host", ("conv_host.c", "nn_host.h"), needs="host", accepts=_host_conv, pack=pack_16)
DEPTHWISE_HOST = Kernel(
    "nn_depthwise_host", ("depthwise_host.c", "nn_host.h"), needs="host", accepts=_host_depthwise, pack=np.transpose
)
CONV_MVE = Kernel(
    "nn_conv_mve",
    ("conv_mve.c", "dot_2x3_mve.S", "nn_mve.h"),
    needs="mve",
    accepts=_dsp_conv,
    pack=even_channels,
)
DEPTHWISE_MVE = Kernel(
    "nn_depthwise_mve", ("depthwise_mve.c", "nn_mve.h"), needs="mve", accepts=_mve_depthwise, pack=np.transpose
)
ADD_MVE = Kernel("nn_add_tensors_mve", ("add_mve.c", "nn_mve.h"), needs="mve", accepts=_dsp_add)
ADD_HOST = Kernel("nn_add_host", ("add_host.c", "nn_host.h"), needs="host", accepts=_dsp_add)
ADD_C = Kernel("nn_add_c", ("add_c.c",))
ADD_DSP = Kernel("nn_add_dsp", ("add_dsp.c", "nn_dsp.h"), needs="dsp", accepts=_dsp_add, factor=doubled)

# Fastest first; a layer gets the first kernel that the core can run and that accepts it.
KERNELS: Mapping[OpKind, tuple[Kernel, ...]] = {
    "conv": (CONV_HOST, CONV_MVE, CONV_DSP, CONV_C),
    "depthwise_conv": (DEPTHWISE_HOST, DEPTHWISE_MVE, *DEPTHWISE_DSP, DEPTHWISE_C),
    "fully_connected": (CONV_HOST, CONV_MVE, CONV_DSP, CONV_C),
    "add": (ADD_HOST, ADD_MVE, ADD_DSP, ADD_C),
    "mul": (Kernel("nn_mul_c", ("mul_c.c",)),),
    "mean": (Kernel("nn_mean_c", ("mean_c.c",)),),
    "avg_pool": (Kernel("nn_average_pool_c", ("average_pool_c.c",)),),
    "max_pool": (Kernel("nn_max_pool_c", ("max_pool_c.c",)),),
    "pad": (Kernel("nn_pad_c", ("pad_c.c",)),),
    "concat": (Kernel("nn_copy_rows_c", ("copy_rows_c.c",)),),
    "softmax": (Kernel("nn_softmax_c", ("softmax_c.c",)),),
    **dict.fromkeys(("activation", "quantize"), (Kernel("nn_lookup_c", ("lookup_c.c",)),)),  # a table of 256 values
}


def kernel_for(instruction_set: InstructionSet, kind: OpKind, layout: Layout) -> Kernel:
    """The kernel of a layer on an instruction set."""
    runnable = (k for k in KERNELS[kind] if k.needs in ("scalar", instruction_set))
    return next(k for k in runnable if k.accepts(layout))
