"""Operators on one value, or on one of each of two tensors; all can write over what they read."""

from __future__ import annotations

from hardware_profiles.firmware.kernel import Kernel, portable_code
from hardware_profiles.firmware.requantize import doubled, refused_addition

ADD_STRUCT_BYTES = 20  # nn_add, which convolutions read, too

ADD_C = Kernel(
    function="nn_add_c",
    files=("add_c.c",),
    in_place=lambda op: True,
    struct_bytes=ADD_STRUCT_BYTES,
    code=portable_code("nn_add_c", 454, 394, 400, 440),
)
ADD_DSP = Kernel(
    function="nn_add_dsp",
    files=("add_dsp.c", "nn_dsp.h"),
    needs="dsp",
    refuses=refused_addition,
    factor=doubled,
    in_place=lambda op: True,
    struct_bytes=ADD_STRUCT_BYTES,
    code={"dsp": {"nn_add_dsp": 254}},
)
ADD_MVE = Kernel(
    function="nn_add_tensors_mve",
    files=("add_mve.c", "nn_mve.h"),
    needs="mve",
    refuses=refused_addition,
    in_place=lambda op: True,
    struct_bytes=ADD_STRUCT_BYTES,
    code={"mve": {"nn_add_tensors_mve": 304}},
)
ADD_HOST = Kernel(
    function="nn_add_host",
    files=("add_host.c", "nn_host.h"),
    needs="host",
    refuses=refused_addition,
    in_place=lambda op: True,
)
MUL = Kernel(
    function="nn_mul_c",
    files=("mul_c.c",),
    in_place=lambda op: True,
    struct_bytes=12,
    code=portable_code("nn_mul_c", 238, 230, 236, 254),
)
LOOKUP = Kernel(
    function="nn_lookup_c",
    files=("lookup_c.c",),
    in_place=lambda op: True,
    arrays=lambda op: (256,),
    code=portable_code("nn_lookup_c", 28, 28, 28, 28),
)
