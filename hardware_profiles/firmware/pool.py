"""Pooling: what windows, or whole maps, come down to."""

from __future__ import annotations

from hardware_profiles.firmware.kernel import Kernel, portable_code

AVERAGE_POOL = Kernel(
    function="nn_average_pool_c",
    files=("average_pool_c.c",),
    struct_bytes=18,
    code=portable_code("nn_average_pool_c", 834, 288, 292, 310),
)
MAX_POOL = Kernel(
    function="nn_max_pool_c",
    files=("max_pool_c.c",),
    struct_bytes=18,
    code=portable_code("nn_max_pool_c", 320, 240, 244, 254),
)
MEAN = Kernel(
    function="nn_mean_c",
    files=("mean_c.c",),
    struct_bytes=16,
    code=portable_code("nn_mean_c", 198, 174, 174, 184),
)
