"""Convolutions and linear layers: sums over windows of all channels, and the ADD behind them in the epilogue."""

from __future__ import annotations

from math import ceil, prod

import numpy as np

from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.firmware.kernel import Kernel, portable_code
from hardware_profiles.firmware.layout import Array
from hardware_profiles.firmware.requantize import doubled, refused_float_sums, refused_sums

STRUCT_BYTES = 40  # nn_conv


def undilated(op: OpSpec) -> bool:
    """Whether the taps are neighbours."""
    return op.dilation_hw == (1, 1)


def pack_4x2(weights: Array) -> Array:
    """Words of two steps of two channels, [a0, b0, a1, b1], channels and steps padded with zeros.

    Steps go in groups of four as SXTB16 unpacks their bytes: 0 and 2, then 1 and 3.
    """
    channels, steps = weights.shape
    padded = np.zeros((up(channels, 2), up(steps, 4)), np.int8)
    padded[:channels, :steps] = weights
    grouped = padded.reshape(len(padded) // 2, 2, -1, 4)[..., [0, 2, 1, 3]]
    return grouped.reshape(len(padded) // 2, 2, -1).transpose(0, 2, 1).reshape(-1)


def pack_16(weights: Array) -> Array:
    """[channels / 16][steps][16], channels padded with zeros."""
    channels, steps = weights.shape
    padded = np.zeros((up(channels, 16), steps), np.int8)
    padded[:channels] = weights
    return padded.reshape(-1, 16, steps).transpose(0, 2, 1).reshape(-1)


def pack_4x4(weights: Array) -> Array:
    """[channels / 4][steps / 4][4 channels][4 steps], padded with zeros."""
    channels, steps = weights.shape
    padded = np.zeros((up(channels, 4), up(steps, 4)), np.int8)
    padded[:channels, :steps] = weights
    return padded.reshape(len(padded) // 4, 4, -1, 4).transpose(0, 2, 1, 3).reshape(-1)


def even_channels(weights: Array) -> Array:
    """A row of zeros behind an odd number of channels."""
    return np.pad(weights, ((0, len(weights) % 2), (0, 0)))


def pad_to_even(values: Array) -> Array:
    """A zero behind an odd number of values."""
    return np.pad(values, (0, len(values) % 2))


def channel_arrays(channels: int, weights: int) -> tuple[int, ...]:
    """Bytes of shift, multiplier and bias of each channel, and of the weights."""
    return (channels, 4 * channels, 4 * channels, weights)


def up(count: int, to: int) -> int:
    """The next multiple."""
    return -(-count // to) * to


def _channels(op: OpSpec) -> int:
    return op.output.shape[-1]


def _steps(op: OpSpec) -> int:
    """Products of one output."""
    if op.kind == "fully_connected":
        return op.inputs[0].nbytes
    return prod(op.kernel_hw) * op.inputs[0].shape[-1]


def _pointwise(op: OpSpec) -> bool:
    """Whether windows lie in the input as the kernel reads them."""
    return op.kernel_hw == op.stride_hw == (1, 1)


def _pixels(op: OpSpec) -> int:
    return prod(op.output.shape) // _channels(op)


def _depth(op: OpSpec) -> int:
    return op.weights // _channels(op)


def _dsp_scratch(op: OpSpec) -> int:
    padded = up(_steps(op), 4)
    return 8 * padded + (padded if op.inputs[0].shape[-1] % 4 else 0)


def _mve_scratch(op: OpSpec) -> int:
    return 24 * -(-_channels(op) // 2) + (0 if _pointwise(op) else 3 * _steps(op))


def _host_scratch(op: OpSpec) -> int:
    padded = up(_channels(op), 16)
    return 4 * 8 * (_steps(op) + padded) + 2 * padded


def _dsp_arrays(op: OpSpec) -> tuple[int, ...]:
    pairs = up(_channels(op), 2)
    return channel_arrays(pairs, pairs * up(_depth(op), 4))


def _one_column(op: OpSpec) -> bool:
    """Whether the only window is the whole input, whose bytes then lie as the weights' steps do."""
    return _pixels(op) == 1 and op.inputs[0].nbytes == _steps(op) and undilated(op)


def _fc_terms(op: OpSpec, adds: bool) -> tuple[float, ...]:
    """Groups of four channels x four steps; requantized outputs; groups of steps; sums; the call."""
    channels, groups = _channels(op), ceil(_steps(op) / 4)
    return (ceil(channels / 4) * groups, channels, groups, channels * adds, 1)


# Terms: blocks of pixels x pairs of channels x steps; requantized outputs; gathered windows; sums; pixels; the call.


def _terms(op: OpSpec, adds: bool) -> tuple[float, ...]:
    pixels, channels, depth = _pixels(op), _channels(op), _depth(op)
    blocks, outputs, pairs = 2 * ceil(pixels / 2), pixels * channels, up(channels, 2)
    gathers = not _pointwise(op)
    window = pixels * prod(op.kernel_hw) * gathers
    gathered = (pixels * depth * gathers, window)
    return (blocks * pairs * depth, blocks * pairs, outputs, *gathered, outputs * adds, pixels, 1)


def _dsp_terms(op: OpSpec, adds: bool) -> tuple[float, ...]:
    pixels, channels, depth = _pixels(op), _channels(op), _depth(op)
    blocks, outputs, pairs = ceil(pixels / 4), pixels * channels, up(channels, 2)
    row, rows = depth // op.kernel_hw[0], pixels * op.kernel_hw[0]
    if op.inputs[0].shape[-1] % 4:  # gathered byte by byte
        gathered: tuple[int, ...] = (0, 0, 0, rows * row)
    else:
        gathered = (rows * (row // 16), rows * (row % 16 // 4), rows, 0)
    return (blocks * pairs * up(depth, 4), blocks * pairs, outputs, *gathered, outputs * adds, pixels, 1)


def _mve_terms(op: OpSpec, adds: bool) -> tuple[float, ...]:
    pixels, channels, depth = _pixels(op), _channels(op), _depth(op)
    blocks, outputs, pairs = ceil(pixels / 3), pixels * channels, up(channels, 2)
    gathered = pixels * depth * (not _pointwise(op))
    return (blocks * pairs * ceil(depth / 16), blocks * pairs, outputs, gathered, outputs * adds, pixels, 1)


CONV_C = Kernel(
    function="nn_conv_c",
    files=("conv_c.c",),
    scratch=lambda op: 0 if _pointwise(op) else 2 * _steps(op),
    struct_bytes=STRUCT_BYTES,
    arrays=lambda op: channel_arrays(_channels(op), op.weights),
    code=portable_code("nn_conv_c", 2394, 2028, 2024, 2172),
    terms=_terms,
)
CONV_DSP = Kernel(
    function="nn_conv_dsp",
    files=("conv_dsp.c", "dot_4x2_dsp.S", "nn_dsp.h"),
    needs="dsp",
    fits=undilated,
    refuses=refused_sums,
    pack=pack_4x2,
    pad=pad_to_even,
    factor=doubled,
    scratch=_dsp_scratch,
    struct_bytes=STRUCT_BYTES,
    arrays=_dsp_arrays,
    code={"dsp": {"nn_conv_dsp": 3072}},
    terms=_dsp_terms,
)
FC_DSP = Kernel(
    function="nn_fc_dsp",
    files=("fc_dsp.c", "nn_dsp.h"),
    needs="dsp",
    fits=_one_column,
    refuses=refused_sums,
    pack=pack_4x4,
    factor=doubled,
    scratch=lambda op: 2 * up(_steps(op), 4),
    struct_bytes=STRUCT_BYTES,
    arrays=lambda op: channel_arrays(_channels(op), up(_channels(op), 4) * up(_steps(op), 4)),
    code={"dsp": {"nn_fc_dsp": 696}},
    terms=_fc_terms,
)
CONV_MVE = Kernel(
    function="nn_conv_mve",
    files=("conv_mve.c", "dot_2x3_mve.S", "nn_mve.h"),
    needs="mve",
    fits=undilated,
    refuses=refused_sums,
    pack=even_channels,
    scratch=_mve_scratch,
    struct_bytes=STRUCT_BYTES,
    arrays=lambda op: channel_arrays(_channels(op), up(_channels(op), 2) * _depth(op)),
    code={"mve": {"nn_conv_mve": 1684}},
    terms=_mve_terms,
)
CONV_HOST = Kernel(
    function="nn_conv_host",
    files=("conv_host.c", "nn_host.h"),
    needs="host",
    fits=undilated,
    refuses=refused_float_sums,
    pack=pack_16,
    scratch=_host_scratch,
)
