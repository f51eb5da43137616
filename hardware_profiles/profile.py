"""HardwareProfile: what a target offers and what a model may use of it; TOML, a source behind each number."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.resources import files
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hardware_profiles.units import parse_bytes, parse_count, parse_hertz, parse_milliseconds

Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0)]
Count = Annotated[int, BeforeValidator(parse_count), Field(gt=0)]
Hertz = Annotated[int, BeforeValidator(parse_hertz), Field(gt=0)]
Milliseconds = Annotated[float, BeforeValidator(parse_milliseconds), Field(gt=0)]
Core = Literal["cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m55", "cortex-a72"]
Runtime = Literal["tflm", "litert"]


class ProfileError(Exception):
    """A profile that does not exist or does not hold together; names the file, the key and the remedy."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reserved(_Frozen):
    """What the application and the runtime's code need: not the model's to use."""

    flash_bytes: Bytes
    sram_bytes: Bytes


class Budget(_Frozen):
    """What a model may use, in the order of `footprint.RESOURCES`."""

    params: Count
    macs: Count
    flash_bytes: Bytes
    sram_bytes: Bytes
    latency_ms: Milliseconds


class HardwareProfile(_Frozen):
    """One target.

    Attributes:
        kind: `mcu` or `mobile`; decides the formats a run writes.
        runtime: whose costs are counted by default.
        core: row of the latency table.
        sources: where each number comes from, by dotted key.
    """

    name: str
    description: str
    kind: Literal["mcu", "mobile"]
    runtime: Runtime
    core: Core
    clock_hz: Hertz
    flash_bytes: Bytes
    sram_bytes: Bytes
    reserved: Reserved
    budget: Budget
    sources: dict[str, str]


def profile_names() -> tuple[str, ...]:
    """The targets this package knows, sorted."""
    folder = files("hardware_profiles") / "targets"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_profile(name: str, overrides: Mapping[str, str] | None = None) -> HardwareProfile:
    """The profile of a target.

    Args:
        name: one of `profile_names()`.
        overrides: dotted key to value as `--set` has it, such as {"budget.sram_bytes": "64KiB"}.

    Raises:
        ProfileError: unknown target or key, a value without its unit, a budget above the board's memory.
    """
    if name not in profile_names():
        raise ProfileError(f"no hardware profile '{name}'{_nearest(name, profile_names())}")
    text = (files("hardware_profiles") / "targets" / f"{name}.toml").read_text()
    return parse_profile(text, f"{name}.toml", overrides or {})


def parse_profile(text: str, file: str, overrides: Mapping[str, str]) -> HardwareProfile:
    """A profile from TOML text; `file` is for messages. See `load_profile`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{file}: {error}") from error
    values, sources = _split_sources(raw, file)
    for key, value in overrides.items():
        _override(values, key, value)
        sources[key] = "--set"
    try:
        profile = HardwareProfile(**values, sources=sources)
    except ValidationError as error:
        raise ProfileError(_explain(error, file)) from error
    for resource in ("flash_bytes", "sram_bytes"):
        offered = getattr(profile, resource) - getattr(profile.reserved, resource)
        if getattr(profile.budget, resource) > offered:
            raise ProfileError(
                f"{file}: budget.{resource} is {getattr(profile.budget, resource):,}, "
                f"but the board offers {getattr(profile, resource):,} "
                f"less {getattr(profile.reserved, resource):,} reserved: at most {offered:,}"
            )
    return profile


def _split_sources(raw: Mapping[str, Any], file: str, prefix: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """Part `key = {value = ..., source = ...}` into values and sources; a number without a source is an error."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, entry in raw.items():
        dotted = prefix + key
        if isinstance(entry, dict) and "value" in entry:
            if not entry.get("source"):
                raise ProfileError(f"{file}: {dotted} has no source; write {key} = {{ value = ..., source = ... }}")
            values[key], sources[dotted] = entry["value"], str(entry["source"])
        elif isinstance(entry, dict):
            values[key], inner = _split_sources(entry, file, f"{dotted}.")
            sources |= inner
        elif isinstance(entry, int | float):
            raise ProfileError(f"{file}: {dotted} has no source; write {key} = {{ value = {entry}, source = ... }}")
        else:
            values[key] = entry
    return values, sources


def _override(values: dict[str, Any], key: str, value: str) -> None:
    keys = [
        f"{part}.{name}" for part, model in (("budget", Budget), ("reserved", Reserved)) for name in model.model_fields
    ]
    keys += ["clock_hz", "flash_bytes", "sram_bytes"]
    if key not in keys:
        raise ProfileError(f"--set: no key '{key}'{_nearest(key, keys)}")
    part, _, name = key.rpartition(".")
    target = values[part] if part else values
    target[name] = value


def _explain(error: ValidationError, file: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"budget": Budget, "reserved": Reserved}
        model = parts.get(str(first["loc"][0]), HardwareProfile)
        known = [k for k in model.model_fields if k != "sources"]
        return f"{file}: unknown key '{key}'{_nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"{file}: '{key}' is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{file}: {key}: {message}"


def _nearest(word: str, choices: Iterable[str]) -> str:
    known = list(choices)
    close = get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; choose one of {', '.join(known)}"


CORES: tuple[str, ...] = get_args(Core)
