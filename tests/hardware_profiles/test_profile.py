from __future__ import annotations

import pytest

from hardware_profiles.cost.libraries import library_of
from hardware_profiles.cost.ops import OpSpec, TensorSpec
from hardware_profiles.footprint import footprint
from hardware_profiles.profile import (
    HardwareProfile,
    ProfileError,
    load_profile,
    parse_profile,
    profile_names,
)

BOARD = """
name = "board"
description = "a board of the tests"
date = 2026-11-24
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
    assert profile.sources["reserved.sram_bytes"].text == "choice"
    assert (profile.sources["clock_hz"].text, profile.sources["clock_hz"].date) == ("datasheet", "2026-11-24")


@pytest.mark.parametrize("name", profile_names())
def test_every_number_of_a_shipped_target_has_a_source_and_a_date(name: str) -> None:
    profile = load_profile(name)
    numbers = {"clock_hz", "flash_bytes", "sram_bytes"}
    numbers |= {f"reserved.{key}" for key in type(profile.reserved).model_fields}
    numbers |= {f"budget.{key}" for key in type(profile.budget).model_fields}
    numbers |= {f"regions.{key}" for key in profile.regions}
    assert set(profile.sources) == numbers
    assert all(len(source.text.strip()) > 5 for source in profile.sources.values())
    assert all(source.date >= "2026-01-01" for source in profile.sources.values())


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_target_is_named_as_its_file_and_its_core_has_kernels(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    for runtime in profile.runtimes:
        library_of(profile.core, runtime)


def test_the_targets_of_the_issue_are_shipped() -> None:
    cores = {"cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m85"}
    boards = {"nucleo-l4r5zi", "nucleo-f446re", "stm32f746g-disco", "nucleo-h743zi", "nucleo-h7a3zi", "nucleo-u575zi"}
    boards |= {"nrf52840", "nrf5340", "rp2040", "rp2350", "imxrt1060", "corstone-300", "apollo4-plus", "apollo510"}
    mobile = {"raspberry-pi-4", "raspberry-pi-5", "cortex-a53", "phone-cortex-a76", "phone-cortex-x1"}
    assert set(profile_names()) >= cores | boards | mobile | {"esp32-s3", "riscv-rv32imc", "ra8d1"}


def test_a_board_inherits_what_it_does_not_replace() -> None:
    board, core = load_profile("nucleo-h743zi"), load_profile("cortex-m7")
    assert (board.core, board.runtime, board.emulator) == (core.core, core.runtime, "mps2-an500")
    assert board.clock_hz == 480_000_000
    assert board.compiler_flags[-1] == "-mfpu=fpv5-d16"
    assert "dtcm" in board.regions
    assert load_profile("imxrt1060").regions.keys() == {"ocram", "ocram2"}  # not the regions of cortex-m7


def test_an_arena_lies_in_the_largest_run_of_regions_without_a_gap() -> None:
    # STM32F746: DTCM (64), SRAM1 (240) and SRAM2 (16) follow each other; STM32H743's AXI SRAM (512) stands alone.
    assert load_profile("stm32f746g-disco").largest_block_bytes == 320 * 1024
    assert load_profile("nucleo-h743zi").largest_block_bytes == 512 * 1024
    assert load_profile("nucleo-h743zi").blocks[2] == (("sram1", "sram2", "sram3"), 288 * 1024)
    assert load_profile("cortex-m4").blocks == ((("sram",), 128 * 1024),)


def test_an_override_replaces_the_number_and_its_source() -> None:
    profile = load_profile("cortex-m4", {"budget.sram_bytes": "32KiB", "budget.macs": "3M"})
    assert (profile.budget.sram_bytes, profile.budget.macs) == (32_768, 3_000_000)
    assert profile.sources["budget.sram_bytes"].text == "--set"
    assert profile.budget.params == load_profile("cortex-m4").budget.params


def test_a_profile_can_not_be_changed_after_it_was_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        board().clock_hz = 1


def test_an_unknown_target_names_the_nearest_one() -> None:
    with pytest.raises(ProfileError, match="no hardware profile 'cortexm4'; did you mean 'cortex-m4'\\?"):
        load_profile("cortexm4")


def test_a_target_like_no_other_lists_the_choices() -> None:
    with pytest.raises(ProfileError, match="no hardware profile 'zzz'; choose one of apollo4-plus, apollo510"):
        load_profile("zzz")


def test_an_unknown_override_names_the_nearest_key() -> None:
    with pytest.raises(ProfileError, match=r"no key 'budget\.sram_byte'; did you mean 'budget\.sram_bytes'"):
        load_profile("cortex-m4", {"budget.sram_byte": "64KiB"})


def test_an_override_without_a_unit_names_the_key_and_the_units() -> None:
    with pytest.raises(ProfileError, match=r"^--set: budget.sram_bytes: '64k' is not a size with a unit"):
        load_profile("cortex-m4", {"budget.sram_bytes": "64k"})


def test_a_contradiction_with_an_override_is_not_blamed_on_the_file_alone() -> None:
    with pytest.raises(ProfileError, match=r"^cortex-m4.toml with --set: budget.sram_bytes is 2,097,152, but"):
        load_profile("cortex-m4", {"budget.sram_bytes": "2MiB"})
    with pytest.raises(ProfileError, match=r"^--set: runtime: "):
        load_profile("cortex-m4", {"runtime": "tfml"})


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
        ('runtime = "tflm"', 'runtime = "tvm"', "board.toml: runtime: .*'firmware', 'tflm' or 'litert'"),
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


REGIONS = """
[regions]
a = { value = "64 KiB", source = "datasheet", at = 0x20000000, tcm = true }
b = { value = "64 KiB", source = "datasheet", at = 0x20010000 }
"""


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (
            REGIONS.replace('"64 KiB"', '"32 KiB"', 1),
            r"the regions hold 98,304 bytes together, but sram_bytes is 131,072",
        ),
        (
            REGIONS.replace("0x20010000", "0x20008000"),
            r"region 'b' begins at 0x20008000, but 'a' reaches up to 0x20010000",
        ),
        (REGIONS.replace("0x20010000", "0x30000000"), r"budget.sram_bytes is 81,920, but .* the largest has 65,536"),
        (REGIONS.replace(", tcm = true", ", fast = true"), r"regions.a has at, fast, source, value; write a = "),
        (REGIONS.replace('source = "datasheet", at = 0x20000000, ', ""), r"regions.a has no source"),
        (REGIONS.replace('"64 KiB"', "65536", 1), r"regions.a.size_bytes: 65536 is not a size with a unit"),
    ],
)
def test_regions_that_contradict_the_board_are_an_error_with_the_arithmetic(regions: str, message: str) -> None:
    assert parse_profile(BOARD + REGIONS, "board.toml", {}).largest_block_bytes == 131_072
    with pytest.raises(ProfileError, match=f"board.toml: {message}"):
        parse_profile(BOARD + regions, "board.toml", {})


def test_sources_that_disagree_give_a_range_in_the_numbers_unit() -> None:
    text = '{ value = "100 MHz", source = "datasheet" }'
    profile = board(
        text, '{ value = "100 MHz", source = "two pages", range = ["96 MHz", "120 MHz"], date = 2026-01-02 }'
    )
    assert profile.sources["clock_hz"].range == (96e6, 120e6)
    assert profile.sources["clock_hz"].date == "2026-01-02"
    with pytest.raises(ProfileError, match="clock_hz: the value 100 MHz lies outside its range"):
        board(text, '{ value = "100 MHz", source = "two pages", range = ["110 MHz", "120 MHz"] }')
    with pytest.raises(ProfileError, match="clock_hz: '110' is not a frequency with a unit"):
        board(text, '{ value = "100 MHz", source = "two pages", range = ["110", "120 MHz"] }')


def test_a_number_without_a_date_is_an_error_that_says_where_to_write_one() -> None:
    with pytest.raises(ProfileError, match=r"board.toml: clock_hz has no date; write date = 2026-01-31"):
        board("date = 2026-11-24\n", "")
    with pytest.raises(ProfileError, match=r"board.toml: 'date' is '24.11.2026'; write a date such as 2026-01-31"):
        board("date = 2026-11-24\n", 'date = "24.11.2026"\n')


def test_a_feature_that_the_core_cannot_have_is_an_error() -> None:
    assert board('core = "cortex-m4"', 'core = "cortex-m4"\nfeatures = ["dsp"]').features == ("dsp",)
    with pytest.raises(ProfileError, match=r"feature 'mve' is not one that cortex-m4 can have \(dsp, fpu\)"):
        board('core = "cortex-m4"', 'core = "cortex-m4"\nfeatures = ["mve"]')


MEASURED = 'latency_factor = {{ value = {}, source = "timer on our board", range = [{}, {}] }}\n[reserved]'


def test_a_measurement_on_the_target_replaces_the_spread_of_published_results() -> None:
    x, y = TensorSpec("x", (1, 8, 8, 16)), TensorSpec("y", (1, 8, 8, 16))
    ops = [OpSpec("conv", "CONV_2D", (x,), y, weights=256)]
    estimate = footprint(ops, board()).latency_ms
    measured = footprint(ops, board("[reserved]", MEASURED.format("1.5", "1.25", "1.75"))).latency_ms
    assert (measured.low, measured.mid, measured.high) == pytest.approx(
        (1.25 * estimate.mid, 1.5 * estimate.mid, 1.75 * estimate.mid)
    )
    with pytest.raises(ProfileError, match="latency_factor has no range; a measurement says between what it lies"):
        board("[reserved]", 'latency_factor = { value = 1.5, source = "timer" }\n[reserved]')
    with pytest.raises(ProfileError, match=r"latency_factor: '2 ms' is not a factor without a unit, such as 1.3"):
        board("[reserved]", MEASURED.format('"2 ms"', '"1"', '"3"'))
