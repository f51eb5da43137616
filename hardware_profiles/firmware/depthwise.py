"""Depthwise convolutions: sums over windows of one channel.

Portable and DSP kernels copy a channel before they write it, so that one of stride 1 works over its input (in-place
depthwise of MCUNetV2, Lin et al. 2021, arXiv 2110.15352, does it row by row).
"""

from __future__ import annotations

from functools import partial
from math import ceil

import numpy as np

from hardware_profiles.cost.ops import OpSpec
from hardware_profiles.firmware.conv import STRUCT_BYTES, channel_arrays, undilated, up
from hardware_profiles.firmware.kernel import Kernel, portable_code
from hardware_profiles.firmware.layout import Array
from hardware_profiles.firmware.requantize import doubled, refused_sums

_DSP_CODE = 352  # what all sizes share


def _by_channel(op: OpSpec) -> bool:
    """Whether each input channel has one output channel."""
    return op.inputs[0].shape[-1] == op.output.shape[-1]


def _stride_one(op: OpSpec) -> bool:
    return op.stride_hw == (1, 1)


def _dsp_fits(size: int, op: OpSpec) -> bool:
    square = op.kernel_hw == (size, size) and op.stride_hw in ((1, 1), (2, 2))
    return square and _by_channel(op) and undilated(op)


def _rows(op: OpSpec) -> int:
    return (op.output.shape[1] - 1) * op.stride_hw[0] + (op.kernel_hw[0] - 1) * op.dilation_hw[0] + 1


def _scratch(op: OpSpec) -> int:
    """A padded plane."""
    return _rows(op) * ((op.output.shape[2] - 1) * op.stride_hw[1] + (op.kernel_hw[1] - 1) * op.dilation_hw[1] + 1)


def _dsp_scratch(op: OpSpec) -> int:
    """Two padded planes of int16, whose rows are made of four outputs each, and a row of sums."""
    fours = -(-op.output.shape[2] // 4) * 4
    row = fours * op.stride_hw[1] + op.kernel_hw[1] - 1
    return 2 * _rows(op) * row * min(2, op.inputs[0].shape[-1]) + 4 * fours


def _arrays(op: OpSpec) -> tuple[int, ...]:
    return channel_arrays(op.output.shape[-1], op.weights)


def _terms(op: OpSpec, adds: bool) -> tuple[float, ...]:
    (kernel, width), (stride, _) = op.kernel_hw, op.stride_hw
    _, out_h, out_w, channels = op.output.shape
    plane = ((out_h - 1) * stride + kernel) * ((out_w - 1) * stride + width)
    outputs = out_h * out_w * channels
    return (outputs * kernel * width, outputs, outputs * kernel, channels * plane, channels, 1)


def _dsp_terms(op: OpSpec, adds: bool) -> tuple[float, ...]:
    (kernel, _), (stride, _) = op.kernel_hw, op.stride_hw
    _, out_h, out_w, channels = op.output.shape
    _, in_h, in_w, _ = op.inputs[0].shape
    fours = ceil(out_w / 4)
    plane = ((out_h - 1) * stride + kernel) * (4 * fours * stride + kernel - 1)
    lines = channels * out_h
    return (lines * fours, lines * out_w, lines, channels * plane, channels * in_h * in_w, channels, 1)


def _mve_terms(op: OpSpec, adds: bool) -> tuple[float, ...]:
    """Taps x eights of channels; fours of channels; eights of channels; taps; their rows; pixels; the call."""
    _, out_h, out_w, channels = op.output.shape
    pixels, fours, eights = out_h * out_w, ceil(channels / 4), ceil(channels / 8)
    taps, rows = pixels * _taps(op), pixels * op.kernel_hw[0]
    return (taps * eights, pixels * fours, pixels * eights, taps, rows, pixels, 1)


def pack_taps(weights: Array) -> Array:
    """[taps][channels], channels padded with zeros to a multiple of four."""
    return np.pad(weights, ((0, -len(weights) % 4), (0, 0))).T


def _taps(op: OpSpec) -> int:
    return op.kernel_hw[0] * op.kernel_hw[1]


def _taps_terms(op: OpSpec, adds: bool) -> tuple[float, ...]:
    """Taps x fours of channels, and x channels left over; outputs; taps; their rows; pixels; the call."""
    _, out_h, out_w, channels = op.output.shape
    pixels = out_h * out_w
    taps, rows = pixels * _taps(op), pixels * op.kernel_hw[0]
    return (taps * (channels // 4), taps * (channels % 4), pixels * channels, taps, rows, pixels, 1)


DEPTHWISE_C = Kernel(
    function="nn_depthwise_c",
    files=("depthwise_c.c",),
    in_place=_stride_one,
    scratch=_scratch,
    struct_bytes=STRUCT_BYTES,
    arrays=_arrays,
    code=portable_code("nn_depthwise_c", 686, 608, 616, 640),
    terms=_terms,
)
DEPTHWISE_DSP = tuple(
    Kernel(
        function=f"nn_depthwise_{size}x{size}_dsp",
        files=("depthwise_dsp.c", "nn_dsp.h"),
        needs="dsp",
        fits=partial(_dsp_fits, size),
        refuses=refused_sums,
        factor=doubled,
        in_place=_stride_one,
        scratch=_dsp_scratch,
        struct_bytes=STRUCT_BYTES,
        arrays=_arrays,
        code={"dsp": {"nn_depthwise_dsp": _DSP_CODE, f"nn_depthwise_{size}x{size}_dsp": nbytes}},
        weights_row=lambda op: "nn_depthwise_{0}x{0}_dsp stride {1}".format(op.kernel_hw[0], op.stride_hw[0]),
        terms=_dsp_terms,
    )
    for size, nbytes in ((3, 768), (5, 876), (7, 932))
)
DEPTHWISE_TAPS_DSP = Kernel(
    function="nn_depthwise_taps_dsp",
    files=("depthwise_taps_dsp.c", "nn_dsp.h"),
    needs="dsp",
    fits=lambda op: _by_channel(op) and not any(kernel.fits(op) for kernel in DEPTHWISE_DSP),
    refuses=refused_sums,
    pack=pack_taps,
    factor=doubled,
    scratch=lambda op: 4 * _taps(op) + op.inputs[0].shape[-1],
    struct_bytes=STRUCT_BYTES,
    arrays=lambda op: channel_arrays(op.output.shape[-1], _taps(op) * up(op.output.shape[-1], 4)),
    code={"dsp": {"nn_depthwise_taps_dsp": 1116}},
    terms=_taps_terms,
)
DEPTHWISE_MVE = Kernel(
    function="nn_depthwise_mve",
    files=("depthwise_mve.c", "nn_mve.h"),
    needs="mve",
    fits=lambda op: _by_channel(op) and _taps(op) <= 256,
    refuses=refused_sums,
    pack=np.transpose,
    scratch=lambda op: op.inputs[0].shape[-1],
    struct_bytes=STRUCT_BYTES,
    arrays=_arrays,
    code={"mve": {"nn_depthwise_mve": 766}},
    terms=_mve_terms,
)
DEPTHWISE_HOST = Kernel(
    function="nn_depthwise_host",
    files=("depthwise_host.c", "nn_host.h"),
    needs="host",
    fits=_by_channel,
    refuses=refused_sums,
    pack=np.transpose,
    scratch=lambda op: 5 * op.inputs[0].shape[-1],
)
