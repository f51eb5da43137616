"""`pipeline targets`, as a user calls it."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from hardware_profiles.profile import profile_names
from hardware_profiles.schema import profile_schema
from pipeline.commands.targets import targets


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(targets, arguments, standalone_mode=False)
    return result


def test_every_target_has_one_line_that_is_not_cut() -> None:
    lines = invoke().output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(profile_names())
    assert "…" not in invoke().output
    runtimes = {line.split()[0]: line.split()[2] for line in lines[1:]}
    assert (runtimes["cortex-m7"], runtimes["ra8d1"], runtimes["raspberry-pi-4"]) == ("firmware", "tflm", "litert")


def test_one_target_is_shown_with_sources_dates_and_its_memories_to_scale() -> None:
    output = invoke("nucleo-h743zi").output
    assert "qemu-system-arm -M mps2-an500" in output
    assert "Zephyr board documentation nucleo_h743zi" in output
    assert "2026-11-24" in output
    # 2 MiB of flash: 1 MiB reserved is half of the bar's 48 characters; 700 kB are 16 more, the rest is free.
    assert "flash " + "▓" * 24 + "█" * 16 + "░" * 8 + "  2 MiB: ▓ reserved 1 MiB  █ model 700 kB" in output
    assert "━ 128 KiB at 0x20000000: dtcm (TCM)" in output
    assert "━ 288 KiB at 0x30000000: sram1 + sram2 + sram3" in output


def test_numbers_whose_sources_disagree_are_shown_with_their_range() -> None:
    output = invoke("cortex-m7").output
    assert "1 MiB to 2 MB" in output


def test_json_holds_the_profiles_as_validated_and_the_schema_stands_alone() -> None:
    found = json.loads(invoke("--json").output)
    assert [profile["name"] for profile in found] == list(profile_names())
    assert found[0]["sources"]["clock_hz"]["date"] == "2026-11-24"
    assert json.loads(invoke("--schema").output) == profile_schema()
    assert "--schema stands alone" in str(invoke("--schema", "cortex-m7").exception)
