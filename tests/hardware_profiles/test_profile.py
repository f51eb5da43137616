from __future__ import annotations

from importlib.resources import files

import pytest

from hardware_profiles.profile import ProfileError, load_profile, parse_profile, profile_names
from hardware_profiles.units import parse_bytes

M7 = (files("hardware_profiles") / "targets" / "cortex-m7.toml").read_text()


def test_the_first_targets_are_there_and_every_number_has_a_source() -> None:
    assert set(profile_names()) >= {"cortex-m4", "cortex-m7", "cortex-m55", "rp2040", "raspberry-pi-4"}
    for name in profile_names():
        profile = load_profile(name)
        numbers = {"clock_hz", "flash_bytes", "sram_bytes", "reserved.flash_bytes", "reserved.sram_bytes"}
        numbers |= {f"budget.{key}" for key in profile.budget.model_dump()}
        assert set(profile.sources) == numbers
        assert all(len(source) > 10 for source in profile.sources.values())


def test_kilo_is_a_thousand_and_kibi_is_1024() -> None:
    assert parse_bytes("350 kB") == 350_000
    assert parse_bytes("64KiB") == 65_536
    assert parse_bytes("1.5MiB") == 1_572_864


@pytest.mark.parametrize("value", ["64k", "64", 64, "64 K", "lots", "-1 kB"])
def test_a_size_without_a_proper_unit_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"a size with a unit .* such as 64KiB"):
        parse_bytes(value)


def test_an_override_replaces_one_number_and_is_its_own_source() -> None:
    profile = load_profile("cortex-m7", {"budget.sram_bytes": "64KiB"})
    assert profile.budget.sram_bytes == 65_536
    assert profile.sources["budget.sram_bytes"] == "--set"
    assert profile.budget.flash_bytes == load_profile("cortex-m7").budget.flash_bytes


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(ProfileError, match="no hardware profile 'cortex-m77'; did you mean 'cortex-m7'"):
        load_profile("cortex-m77")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"budget.sram_byte": "1KiB"}, r"no key 'budget.sram_byte'; did you mean 'budget.sram_bytes'\?"),
        ({"budget.sram_bytes": "64k"}, "cortex-m7.toml: budget.sram_bytes: '64k' is not a size with a unit"),
        ({"budget.sram_bytes": "900KiB"}, "budget.sram_bytes is 921,600, but the board offers 327,680 less 196,608"),
        ({"budget.latency_ms": "5"}, "'5' is not a time with a unit"),
    ],
)
def test_a_wrong_override_says_what_is_wanted(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        load_profile("cortex-m7", overrides)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[budget]\nparams",
            "[budget]\nparms",
            "mine.toml: (unknown key 'budget.parms'; did you mean 'params'|'budget.params' is missing)",
        ),
        ('value = "320 KiB"', 'value = "320"', "mine.toml: sram_bytes: '320' is not a size with a unit"),
        ('core = "cortex-m7"', 'core = "cortex-m77"', "mine.toml: core: Input should be"),
        ("[reserved]", "[reserved]\nstack = { value = 1, source = 'x' }", "unknown key 'reserved.stack'"),
        ('description = "', 'colour = 3\ndescription = "', "mine.toml: colour has no source"),
        ("[budget]", "[budget", "mine.toml: "),
    ],
)
def test_a_broken_profile_names_file_key_and_remedy(old: str, new: str, message: str) -> None:
    assert old in M7
    with pytest.raises(ProfileError, match=message):
        parse_profile(M7.replace(old, new), "mine.toml", {})
