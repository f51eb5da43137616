"""How numbers are written for people: up to four significant digits, and kB of 1000 bytes."""

from __future__ import annotations

from math import floor, log10

MINUS = "\u2212"
_DIGITS = 4


def percent(fraction: float, decimals: int = 1) -> str:
    """`0.8941` as `89.4 %`."""
    return f"{100 * fraction:.{decimals}f} %"


def points(fraction: float, decimals: int = 1) -> str:
    """A difference of two rates in percentage points, with its sign: `0.0123` as `+1.2`."""
    text = f"{100 * fraction:+.{decimals}f}"
    if float(text) == 0:
        return text[1:]
    return text.replace("-", MINUS)


def size(nbytes: float) -> str:
    """Bytes as B, kB (1000) or MB."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{_significant(nbytes / scale)} {unit}"
    return f"{nbytes:.0f} B"


def count(number: float) -> str:
    """Parameters, MACs, images: whole below 100,000, then in thousands (k) and millions (M)."""
    if number >= 1e6:
        return f"{_significant(number / 1e6)} M"
    if number >= 1e5:
        return f"{_significant(number / 1e3)} k"
    return f"{number:,.0f}"


def milliseconds(value: float) -> str:
    """Three significant digits: `83.4 ms`."""
    return f"{_significant(value, 3)} ms"


def interval_ms(low: float, high: float) -> str:
    """`61.2 to 112 ms`."""
    return f"{_significant(low, 3)} to {_significant(high, 3)} ms"


def duration(seconds: float) -> str:
    """`8.4 s`, `4 min 05 s`, `1 h 03 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plain(value: float) -> str:
    """A number of unknown unit, as in `report.json` but short."""
    return f"{value:.4g}".replace("-", MINUS) if abs(value) < 1e4 else f"{value:,.0f}".replace("-", MINUS)


def _significant(value: float, digits: int = _DIGITS) -> str:
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - floor(log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text
