from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from hardware_profiles.latency import latency_ms
from hardware_profiles.ops import OpSpec, TensorSpec
from hardware_profiles.profile import ProfileError, load_profile

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
        (CLOCK, 'clock_hz = { value = "1 MHz", source = "x", note = "y" }', "clock_hz has note, source, value"),
        (CLOCK, 'clock = { value = "180 MHz", source = "x" }', "unknown key 'clock'; did you mean 'clock_hz'"),
        ('name = "cortex-m4"', 'name = "cortex-m4"\nsources = {}', "unknown key 'sources'"),
        ('runtime = "tflm"', 'runtime = "litert"', "runtime 'litert' is not one of kind 'mcu'"),
        ('{ value = "56 KiB"', '{ value = "200 KiB"', "reserved.sram_bytes is 204,800, but the board has 131,072"),
    ],
)
def test_a_mistake_in_a_file_names_file_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ProfileError, match=f"board.toml: {message}"):
        load_profile(own_file(tmp_path, old, new))


def test_an_override_that_lacks_its_ending_names_the_whole_key() -> None:
    with pytest.raises(ProfileError, match=r"no key 'budget\.sram'; did you mean 'budget\.sram_bytes'\?"):
        load_profile("cortex-m4", {"budget.sram": "64KiB"})


def visual_wake_words() -> list[OpSpec]:
    """MLPerf Tiny's net by kind: 497,664 MACs in the stem, 6,193,152 pointwise and 798,336 depthwise."""
    x, y = TensorSpec("x", (1, 1, 1, 1)), TensorSpec("y", (1, 1, 1, 1))
    return [
        OpSpec("conv", "CONV_2D", (x,), y, kernel_hw=(3, 3), weights=497_664),
        OpSpec("conv", "CONV_2D", (x,), y, weights=6_193_152),
        OpSpec("depthwise_conv", "DEPTHWISE_CONV_2D", (x,), y, kernel_hw=(3, 3), weights=798_336),
    ]


@pytest.mark.parametrize(
    ("core", "clock_hz", "inferences_per_second"),
    [
        ("cortex-m0plus", 64_000_000, 0.707),  # NUCLEO-G0B1RE, HALE, v1.2
        ("cortex-m4", 120_000_000, 11.245),  # NUCLEO-L4R5ZI, X-CUBE-AI 9.0, v1.2
        ("cortex-m4", 120_000_000, 3.320),  # the same board, microTVM with CMSIS-NN, v1.0
        ("cortex-m7", 280_000_000, 42.009),  # NUCLEO-H7A3ZI-Q, X-CUBE-AI 9.0, v1.2
        ("cortex-m7", 216_000_000, 17.468),  # DISCO-F746NG, HALE, v1.2
    ],
)
def test_published_times_of_visual_wake_words_lie_in_the_interval(
    core: str, clock_hz: int, inferences_per_second: float
) -> None:
    interval = latency_ms(visual_wake_words(), core, clock_hz)
    assert interval.low <= 1000 / inferences_per_second <= interval.high


def test_the_middle_for_cortex_m0plus_is_the_one_stack_that_was_measured() -> None:
    interval = latency_ms(visual_wake_words(), "cortex-m0plus", 64_000_000)
    assert interval.mid == pytest.approx(1000 / 0.707, rel=0.05)
