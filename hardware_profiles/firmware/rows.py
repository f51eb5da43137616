"""What works row by row: copies into larger maps, and the softmax of a row of scores."""

from __future__ import annotations

from hardware_profiles.firmware.kernel import Kernel, portable_code

PAD = Kernel(
    function="nn_pad_c",
    files=("pad_c.c",),
    struct_bytes=20,
    code=portable_code("nn_pad_c", 186, 186, 186, 186),
)
COPY_ROWS = Kernel(
    function="nn_copy_rows_c",
    files=("copy_rows_c.c",),
    struct_bytes=24,
    code=portable_code("nn_copy_rows_c", 40, 40, 40, 40),
)
SOFTMAX = Kernel(
    function="nn_softmax_c",
    files=("softmax_c.c",),
    struct_bytes=8,
    arrays=lambda op: (4 * 256,),
    code=portable_code("nn_softmax_c", 748, 504, 512, 532),
)
