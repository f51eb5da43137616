"""HardwareProfile: what a target offers and what a model may use of it; TOML, a source behind each number."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hardware_profiles.units import parse_bytes, parse_count, parse_hertz, parse_milliseconds

Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0)]
Count = Annotated[int, BeforeValidator(parse_count), Field(gt=0)]
Hertz = Annotated[int, BeforeValidator(parse_hertz), Field(gt=0)]
Milliseconds = Annotated[float, BeforeValidator(parse_milliseconds), Field(gt=0)]
Core = Literal["cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m55", "cortex-a72"]
Runtime = Literal["tflm", "litert"]

# Text keys and number keys of a profile: every number is written `key = { value = ..., source = ... }`.
TEXTS = ("name", "description", "kind", "runtime", "core")


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


def load_profile(name_or_path: str, overrides: Mapping[str, str] | None = None) -> HardwareProfile:
    """The profile of a target.

    Args:
        name_or_path: one of `profile_names()`, or a TOML file of the same form (it ends in `.toml`).
        overrides: dotted key to value as `--set` has it, such as {"budget.sram_bytes": "64KiB"}.

    Raises:
        ProfileError: unknown target or key, a value without its unit, a number without its source, a budget above the
            board's memory.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise ProfileError(f"there is no profile file {path}")
        return parse_profile(path.read_text(), path.name, overrides or {})
    if name_or_path not in profile_names():
        raise ProfileError(f"no hardware profile '{name_or_path}'{_nearest(name_or_path, profile_names())}")
    text = (files("hardware_profiles") / "targets" / f"{name_or_path}.toml").read_text()
    return parse_profile(text, f"{name_or_path}.toml", overrides or {})


def number_keys() -> tuple[str, ...]:
    """The dotted keys of a profile's numbers: each has a source, and `--set` may override it."""
    parts = (("budget", Budget), ("reserved", Reserved))
    return (
        "clock_hz",
        "flash_bytes",
        "sram_bytes",
        *(f"{part}.{name}" for part, model in parts for name in model.model_fields),
    )


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
    if (profile.kind == "mcu") != (profile.runtime == "tflm"):
        raise ProfileError(
            f"{file}: runtime '{profile.runtime}' is not one of kind '{profile.kind}'; mcu has tflm, mobile has litert"
        )
    for resource in ("flash_bytes", "sram_bytes"):
        _check_fits(profile, resource, file)
    return profile


def _check_fits(profile: HardwareProfile, resource: str, file: str) -> None:
    has, reserved, budget = (getattr(part, resource) for part in (profile, profile.reserved, profile.budget))
    if reserved >= has:
        raise ProfileError(f"{file}: reserved.{resource} is {reserved:,}, but the board has {has:,}")
    if budget > has - reserved:
        raise ProfileError(
            f"{file}: budget.{resource} is {budget:,}, but the board offers {has:,} less {reserved:,} reserved: "
            f"at most {has - reserved:,}"
        )


def _split_sources(raw: Mapping[str, Any], file: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Part `key = { value = ..., source = ... }` into values and sources; a number without a source is an error."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for dotted, entry in _flatten(raw, file):
        part, _, key = dotted.rpartition(".")
        if dotted in number_keys():
            form = f"write {key} = {{ value = ..., source = ... }}"
            if not isinstance(entry, dict) or not str(entry.get("source", "")).strip():
                raise ProfileError(f"{file}: {dotted} has no source; {form}")
            if set(entry) != {"value", "source"}:
                raise ProfileError(f"{file}: {dotted} has {', '.join(sorted(entry))}; {form}")
            sources[dotted], entry = str(entry["source"]), entry["value"]
        elif dotted not in TEXTS:
            raise ProfileError(f"{file}: unknown key '{dotted}'{_nearest(dotted, (*TEXTS, *number_keys()))}")
        (values.setdefault(part, {}) if part else values)[key] = entry
    return values, sources


def _flatten(raw: Mapping[str, Any], file: str) -> Iterable[tuple[str, Any]]:
    """The entries of the file by dotted key; the two tables of numbers are opened, nothing deeper."""
    for key, entry in raw.items():
        if key not in ("budget", "reserved"):
            yield key, entry
        elif isinstance(entry, dict):
            yield from ((f"{key}.{name}", inner) for name, inner in entry.items())
        else:
            raise ProfileError(f"{file}: '{key}' is a table of numbers; write [{key}]")


def _override(values: dict[str, Any], key: str, value: str) -> None:
    keys = number_keys()
    if key not in keys:
        raise ProfileError(f"--set: no key '{key}'{_nearest(key, keys)}")
    part, _, name = key.rpartition(".")
    (values.setdefault(part, {}) if part else values)[name] = value


def _explain(error: ValidationError, file: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{file}: '{key}' is missing"
    return f"{file}: {key}: {first['msg'].removeprefix('Value error, ')}"


def _nearest(word: str, choices: Iterable[str]) -> str:
    """A key that begins like the word wins over one that is merely as long: `budget.sram` means `budget.sram_bytes`."""
    known = list(choices)
    close = [k for k in known if k.startswith(word)] or get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; choose one of {', '.join(known)}"


CORES: tuple[str, ...] = get_args(Core)
