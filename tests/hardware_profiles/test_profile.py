from __future__ import annotations

import pytest

from hardware_profiles.latency import CYCLES
from hardware_profiles.profile import HardwareProfile, ProfileError, load_profile, parse_profile, profile_names

BOARD = """
name = "board"
description = "a board of the tests"
kind = "mcu"
runtime = "tflm"
core = "cortex-m4"
clock_hz = { value = "100 MHz", source = "datasheet" }
flash_bytes = { value = "512 KiB", source = "datasheet" }
sram_bytes = { value = "128 KiB", source = "datasheet" }

[reserved]
flash_bytes = { value = "192 KiB", source = "choice" }
sram_bytes = { value = "48 KiB", source = "choice" }

[budget]
params = { value = 200_000, source = "choice" }
macs = { value = 5_000_000, source = "choice" }
flash_bytes = { value = "300 kB", source = "choice" }
sram_bytes = { value = "80 KiB", source = "choice" }
latency_ms = { value = "100 ms", source = "choice" }
"""


def board(old: str = "", new: str = "", **overrides: str) -> HardwareProfile:
    assert old in BOARD
    return parse_profile(BOARD.replace(old, new) if old else BOARD, "board.toml", overrides)


def test_a_profile_holds_plain_numbers_in_the_unit_of_its_keys() -> None:
    profile = board()
    assert (profile.clock_hz, profile.flash_bytes, profile.sram_bytes) == (100_000_000, 524_288, 131_072)
    assert (profile.reserved.flash_bytes, profile.reserved.sram_bytes) == (196_608, 49_152)
    budget = {"params": 200_000, "macs": 5_000_000, "flash_bytes": 300_000, "sram_bytes": 81_920, "latency_ms": 100.0}
    assert profile.budget.model_dump() == budget
    assert profile.sources["reserved.sram_bytes"] == "choice"
    assert profile.sources["clock_hz"] == "datasheet"


@pytest.mark.parametrize("name", profile_names())
def test_every_number_of_a_shipped_target_has_a_source(name: str) -> None:
    profile = load_profile(name)
    numbers = {"clock_hz", "flash_bytes", "sram_bytes"}
    numbers |= {f"reserved.{key}" for key in type(profile.reserved).model_fields}
    numbers |= {f"budget.{key}" for key in type(profile.budget).model_fields}
    assert set(profile.sources) == numbers
    assert all(len(source.strip()) > 5 for source in profile.sources.values())


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_target_is_named_as_its_file_and_its_core_has_cycles(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.core in CYCLES


def test_the_first_five_targets_are_shipped_and_none_offers_a_runtime_that_does_not_exist_yet() -> None:
    shipped = {name: load_profile(name).runtime for name in profile_names()}
    mcus = dict.fromkeys(("cortex-m4", "cortex-m55", "cortex-m7", "rp2040"), "tflm")
    assert shipped == mcus | {"raspberry-pi-4": "litert"}


def test_an_override_replaces_the_number_and_its_source() -> None:
    profile = load_profile("cortex-m4", {"budget.sram_bytes": "32KiB", "budget.macs": "3M"})
    assert (profile.budget.sram_bytes, profile.budget.macs) == (32_768, 3_000_000)
    assert profile.sources["budget.sram_bytes"] == "--set"
    assert profile.budget.params == load_profile("cortex-m4").budget.params


def test_a_profile_can_not_be_changed_after_it_was_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        board().clock_hz = 1


def test_an_unknown_target_names_the_nearest_one() -> None:
    with pytest.raises(ProfileError, match="no hardware profile 'cortexm4'; did you mean 'cortex-m4'\\?"):
        load_profile("cortexm4")


def test_a_target_like_no_other_lists_the_choices() -> None:
    with pytest.raises(ProfileError, match="no hardware profile 'zzz'; choose one of cortex-m4, cortex-m55"):
        load_profile("zzz")


def test_an_unknown_override_names_the_nearest_key() -> None:
    with pytest.raises(ProfileError, match=r"no key 'budget\.sram_byte'; did you mean 'budget\.sram_bytes'"):
        load_profile("cortex-m4", {"budget.sram_byte": "64KiB"})


def test_an_override_without_a_unit_names_the_key_and_the_units() -> None:
    with pytest.raises(ProfileError, match=r"cortex-m4.toml: budget.sram_bytes: '64k' is not a size with a unit"):
        load_profile("cortex-m4", {"budget.sram_bytes": "64k"})


def test_a_budget_above_what_the_board_leaves_is_an_error_with_the_arithmetic() -> None:
    # 131,072 on the board less 49,152 reserved leave 81,920: 80 KiB fits, a byte more does not.
    assert board(**{"budget.sram_bytes": "80 KiB"}).budget.sram_bytes == 81_920
    with pytest.raises(
        ProfileError, match=r"budget\.sram_bytes is 81,921, but the board offers 131,072 less 49,152 .* 81,920"
    ):
        board(**{"budget.sram_bytes": "81921 B"})
    with pytest.raises(
        ProfileError, match=r"budget\.flash_bytes is 400,000, but the board offers 524,288 less 196,608"
    ):
        board(**{"budget.flash_bytes": "400 kB"})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'clock_hz = { value = "100 MHz", source = "datasheet" }',
            "clock_hz = 100000000",
            "board.toml: clock_hz has no source",
        ),
        (
            '{ value = "48 KiB", source = "choice" }',
            '{ value = "48 KiB" }',
            "board.toml: reserved.sram_bytes has no source",
        ),
        ('"100 MHz"', '"100"', "board.toml: clock_hz: '100' is not a frequency with a unit .* such as 216MHz"),
        ('"80 KiB"', "81920", "board.toml: budget.sram_bytes: 81920 is not a size with a unit"),
        ("macs = {", "mac = {", "board.toml: "),
        ('runtime = "tflm"', 'runtime = "firmware"', "board.toml: runtime: .*'tflm' or 'litert'"),
        ('core = "cortex-m4"', 'core = "cortex-m5"', "board.toml: core: .*'cortex-m4'"),
        ('kind = "mcu"', 'kind = "phone"', "board.toml: kind: .*'mcu' or 'mobile'"),
        ('name = "board"\n', "", "board.toml: 'name' is missing"),
        ("5_000_000", "0", "board.toml: budget.macs: .*greater than 0"),
        ('name = "board"', "name = ", "board.toml: .*line 2"),
    ],
)
def test_a_broken_profile_is_one_line_that_names_file_key_and_remedy(old: str, new: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message) as caught:
        board(old, new)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_beside_the_known_ones_names_the_nearest() -> None:
    with pytest.raises(ProfileError, match=r"board\.toml: unknown key 'budget\.mac'; did you mean '.*macs'\?"):
        board("[budget]\n", '[budget]\nmac = { value = 5, source = "choice" }\n')
