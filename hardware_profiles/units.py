"""Numbers with units, as profiles and `--set` write them. kB and MB are 1000s, KiB and MiB 1024s."""

from __future__ import annotations

import re

_SIZES = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_FREQUENCIES = {"Hz": 1, "kHz": 1000, "MHz": 1000**2, "GHz": 1000**3}
_TIMES = {"": 1.0, "us": 1e-3, "ms": 1.0, "s": 1e3}  # keys of times name their unit
_COUNTS = {"": 1, "K": 1000, "M": 1000**2}


def parse_bytes(value: object) -> int:
    """`64KiB`, `350 kB` to bytes; a number without a unit, or a bare `k`, is an error."""
    return round(_parse(value, _SIZES, "a size", "64KiB"))


def parse_hertz(value: object) -> int:
    """`216 MHz` to hertz."""
    return round(_parse(value, _FREQUENCIES, "a frequency", "216MHz"))


def parse_milliseconds(value: object) -> float:
    """`100 ms` or `100` to milliseconds."""
    return _parse(value, _TIMES, "a time", "100ms")


def parse_count(value: object) -> int:
    """`300000`, `300K`, `12.5M` to a count."""
    return round(_parse(value, _COUNTS, "a count", "12.5M"))


def parse_factor(value: object) -> float:
    """`1.3` to a number without a unit."""
    return _parse(value, {"": 1.0}, "a factor", "1.3")


def _parse(value: object, units: dict[str, float] | dict[str, int], what: str, example: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and "" in units:
        return float(value)
    match = re.fullmatch(r"\s*(\d[\d_]*(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    if not match or match[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        needed = f"with a unit ({known})" if "" not in units else f"with or without a unit ({known})"
        needed = needed if known else "without a unit"
        raise ValueError(f"{value!r} is not {what} {needed}, such as {example}")
    return float(match[1]) * units[match[2]]
