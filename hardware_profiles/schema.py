"""JSON schema of a profile's TOML file, for editors: completion, and errors while typing."""

from __future__ import annotations

from typing import Any, get_args

from hardware_profiles.cores import CORES, Feature
from hardware_profiles.profile import FLAG_PATTERN, Budget, Kind, Reserved, Runtime
from hardware_profiles.profile_file import TEXTS

_EXAMPLES = {
    "params": 350_000,
    "macs": 12_500_000,
    "latency_ms": "100 ms",
    "clock_hz": "216 MHz",
    "latency_factor": 1.3,
}


def profile_schema() -> dict[str, Any]:
    """The schema (JSON Schema 2020-12) of the files in `targets/` and of users' own."""
    texts: dict[str, Any] = {key: {"type": "string"} for key in TEXTS}
    texts |= {
        "date": {"description": "When the sources were read, such as 2026-01-31; TOML's own date."},
        "extends": {"type": "string", "description": "A target, or the path of a file; own keys replace its keys."},
        "kind": {"enum": list(get_args(Kind))},
        "runtime": {"enum": list(get_args(Runtime))},
        "core": {"enum": list(CORES)},
        "features": {"type": "array", "items": {"enum": list(get_args(Feature))}},
        "compiler_flags": {"type": "array", "items": {"type": "string", "pattern": FLAG_PATTERN}},
    }
    numbers = {key: _number(key) for key in ("clock_hz", "flash_bytes", "sram_bytes", "latency_factor")}
    region = {"at": {"type": "integer", "minimum": 0}, "tcm": {"type": "boolean"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hardware profile",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "description"],
        "properties": texts
        | numbers
        | {
            "reserved": _table(list(Reserved.model_fields)),
            "budget": _table(list(Budget.model_fields)),
            "regions": {"type": "object", "additionalProperties": _number("size_bytes", region)},
        },
    }


def _table(keys: list[str]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {key: _number(key) for key in keys}}


def _number(key: str, facts: dict[str, Any] | None = None) -> dict[str, Any]:
    value = {"type": ["string", "number"], "examples": [_EXAMPLES.get(key, "64 KiB")]}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["value", "source"],
        "properties": {
            "value": value,
            "source": {"type": "string", "minLength": 1},
            "date": {"description": "When this source was read, where it is not the file's date."},
            "range": {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "items": value,
                "description": "The least and the most that sources say, where they disagree.",
            },
            **(facts or {}),
        },
    }
