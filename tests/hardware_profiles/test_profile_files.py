from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from hardware_profiles.profile import ProfileError, load_profile, profile_names
from hardware_profiles.profile_file import user_targets
from hardware_profiles.schema import profile_schema

CLOCK = 'clock_hz = { value = "180 MHz", source = "STM32F446RE, Zephyr board documentation nucleo_f446re" }'


def own_file(folder: Path, old: str = "", new: str = "") -> str:
    text = (files("hardware_profiles") / "targets" / "cortex-m4.toml").read_text()
    assert old in text
    (folder / "board.toml").write_text(text.replace(old, new, 1) if old else text)
    return str(folder / "board.toml")


def test_a_profile_is_read_from_a_file_of_the_user(tmp_path: Path) -> None:
    profile = load_profile(own_file(tmp_path, '"180 MHz"', '"168 MHz"'), {"budget.latency_ms": "50"})
    assert (profile.clock_hz, profile.budget.latency_ms) == (168_000_000, 50.0)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"there is no profile file .*other\.toml"):
        load_profile(str(tmp_path / "other.toml"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (CLOCK, 'clock_hz = "180 MHz"', "clock_hz has no source"),
        (CLOCK, 'clock_hz = { value = "180 MHz", source = " " }', "clock_hz has no source"),
        (
            CLOCK,
            'clock_hz = { value = "1 MHz", source = "x", note = "y" }',
            "clock_hz has note, source, value; write clock_hz",
        ),
        (CLOCK, 'clock = { value = "180 MHz", source = "x" }', "unknown key 'clock'; did you mean 'clock_hz'"),
        ('name = "cortex-m4"', 'name = "cortex-m4"\nsources = {}', "unknown key 'sources'"),
        ('runtime = "firmware"', 'runtime = "litert"', "runtime 'litert' is not one of kind 'mcu'"),
        ('{ value = "56 KiB"', '{ value = "200 KiB"', "reserved.sram_bytes is 204,800, but the board has 131,072"),
    ],
)
def test_a_mistake_in_a_file_names_file_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ProfileError, match=f"board.toml: {message}"):
        load_profile(own_file(tmp_path, old, new))


def test_an_override_that_lacks_its_ending_names_the_whole_key() -> None:
    with pytest.raises(ProfileError, match=r"no key 'budget\.sram'; did you mean 'budget\.sram_bytes'\?"):
        load_profile("cortex-m4", {"budget.sram": "64KiB"})


def write(folder: Path, name: str, extends: str, more: str = "") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    text = f'name = "{name}"\ndescription = "a board of the tests"\nextends = "{extends}"\ndate = 2026-11-24\n{more}'
    (folder / f"{name}.toml").write_text(text)
    return str(folder / f"{name}.toml")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return user_targets()


FAST = 'clock_hz = { value = "200 MHz", source = "our board" }\n'


def test_a_profile_of_the_user_is_known_by_its_name_and_extends_a_shipped_one(own: Path) -> None:
    write(own, "camera", "cortex-m4", FAST)
    assert "camera" in profile_names()
    profile = load_profile("camera", {"budget.macs": "2M"})
    assert (profile.name, profile.extends, profile.clock_hz) == ("camera", "cortex-m4", 200_000_000)
    assert (profile.budget.macs, profile.budget.params) == (2_000_000, 256_000)
    assert profile.sources["clock_hz"].text == "our board"
    assert "STM32F446RE" in profile.sources["flash_bytes"].text


def test_a_file_extends_another_file_beside_it_and_that_a_target_of_the_user(own: Path, tmp_path: Path) -> None:
    write(own, "camera", "cortex-m4", FAST)
    write(tmp_path, "middle", "camera")
    profile = load_profile(write(tmp_path, "last", "middle.toml"))
    assert (profile.name, profile.clock_hz, profile.core) == ("last", 200_000_000, "cortex-m4")


def test_profiles_that_extend_each_other_are_an_error_that_shows_the_circle(own: Path, tmp_path: Path) -> None:
    write(own, "a", "b")
    write(own, "b", "a")
    with pytest.raises(ProfileError, match=r"b.toml: extends: 'a' extends itself: a -> b -> a"):
        load_profile("a")
    with pytest.raises(ProfileError, match=r"own.toml' extends itself"):
        load_profile(write(tmp_path, "own", "own.toml"))


def test_an_unknown_profile_to_extend_names_the_file_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        ProfileError, match=r"x.toml: extends: no hardware profile 'cortexm4'; did you mean 'cortex-m4'"
    ):
        load_profile(write(tmp_path, "x", "cortexm4"))
    with pytest.raises(ProfileError, match=r"x.toml: extends: there is no profile file .*base.toml"):
        load_profile(write(tmp_path, "x", "base.toml"))


def test_a_contradiction_with_the_extended_profile_is_found(tmp_path: Path) -> None:
    small = 'sram_bytes = { value = "64 KiB", source = "our board" }\n'
    with pytest.raises(
        ProfileError, match=r"x.toml: budget.sram_bytes is 65,536, but the board offers 65,536 less 57,344"
    ):
        load_profile(write(tmp_path, "x", "cortex-m4", small))
    with pytest.raises(
        ProfileError, match=r"x.toml: the regions hold 327,680 bytes together, but sram_bytes is 65,536"
    ):
        load_profile(write(tmp_path, "x", "cortex-m7", small))


def test_a_users_file_may_not_shadow_a_shipped_target_or_bear_another_name(own: Path) -> None:
    (own / "camera.toml").parent.mkdir(parents=True)
    Path(write(own, "other", "cortex-m4")).rename(own / "camera.toml")
    with pytest.raises(ProfileError, match=r"camera.toml: name is 'other'; a target is named as its file"):
        load_profile("camera")
    write(own, "cortex-m4", "cortex-m7")
    with pytest.raises(ProfileError, match=r"cortex-m4.toml: there is a target 'cortex-m4' already; rename the file"):
        profile_names()


@pytest.mark.parametrize(
    "flag", ["$(shell touch x)", "-mcpu=cortex-m4\\nPWN := 1", '-D\\") evil', "mthumb", "-x ;ls", "-a`b`", "-i../${x}"]
)
def test_a_compiler_flag_that_a_build_file_might_obey_is_refused(tmp_path: Path, flag: str) -> None:
    file = tmp_path / "board.toml"
    file.write_text(
        f'name = "board"\ndescription = "x"\nextends = "cortex-m4"\ndate = 2026-01-31\ncompiler_flags = ["{flag}"]\n'
    )
    with pytest.raises(ProfileError, match="compiler_flags"):
        load_profile(str(file))


def test_a_text_with_control_characters_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text('name = "board"\ndescription = "a\\u202Eb"\nextends = "cortex-m4"\ndate = 2026-01-31\n')
    with pytest.raises(ProfileError, match=r"board\.toml: description is 'a\\u202eb', with a control character"):
        load_profile(str(file))


def test_the_schema_for_editors_allows_every_shipped_file_and_no_misspelt_key() -> None:
    schema = profile_schema()
    for file in (files("hardware_profiles") / "targets").iterdir():
        raw = tomllib.loads(file.read_text())
        assert set(raw) <= set(schema["properties"]), file.name
        for table in ("reserved", "budget"):
            assert set(raw.get(table, {})) <= set(schema["properties"][table]["properties"]), file.name
        for region in raw.get("regions", {}).values():
            assert set(region) <= set(schema["properties"]["regions"]["additionalProperties"]["properties"]), file.name
    assert "budgets" not in schema["properties"]
    assert schema["properties"]["core"]["enum"][:2] == ["cortex-m0plus", "cortex-m3"]
    assert schema["additionalProperties"] is False
