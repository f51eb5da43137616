from __future__ import annotations

import pytest

from hardware_profiles.units import parse_bytes, parse_count, parse_hertz


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64KiB", 65_536), ("64 kB", 64_000), ("1 MiB", 1_048_576), ("1 MB", 1_000_000), ("1.5 KiB", 1_536), ("7 B", 7)],
)
def test_kilobytes_are_thousands_and_kibibytes_are_1024s(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["64k", "64K", "64", "64 KB", "64000", "-1 KiB", "", "KiB", "1e3 B", 65_536, True])
def test_a_size_without_a_known_unit_is_an_error_that_names_the_units(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a size with a unit \(B, kB, MB, GB, KiB, MiB, GiB\), such as 64KiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("480 MHz", 480_000_000), ("1.5GHz", 1_500_000_000), ("32 kHz", 32_000)]
)
def test_frequencies_become_hertz(text: str, expected: int) -> None:
    assert parse_hertz(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(200_000, 200_000), ("3M", 3_000_000), ("12.5M", 12_500_000), ("4_000", 4_000)]
)
def test_counts_need_no_unit(value: object, expected: int) -> None:
    assert parse_count(value) == expected


def test_a_count_in_kibibytes_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not a count"):
        parse_count("3 KiB")
