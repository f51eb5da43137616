"""HardwareProfile: what a target offers and what a model may use of it; a source and a date behind each number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from hardware_profiles.cores import CORES, CoreName, Feature, instruction_set
from hardware_profiles.profile_file import Number, nearest, read_profile, read_text
from hardware_profiles.profile_file import ProfileError as ProfileError
from hardware_profiles.profile_file import profile_names as profile_names
from hardware_profiles.regions import Block, Region, blocks, check_regions
from hardware_profiles.units import parse_bytes, parse_count, parse_factor, parse_hertz, parse_milliseconds

Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0)]
Count = Annotated[int, BeforeValidator(parse_count), Field(gt=0)]
Hertz = Annotated[int, BeforeValidator(parse_hertz), Field(gt=0)]
Milliseconds = Annotated[float, BeforeValidator(parse_milliseconds), Field(gt=0)]
Factor = Annotated[float, BeforeValidator(parse_factor), Field(gt=0)]
FLAG_PATTERN = r"^-[A-Za-z0-9+=._,-]+$"  # flags are written into Makefiles and CMakeLists.txt, which obey much else
CompilerFlag = Annotated[str, StringConstraints(pattern=FLAG_PATTERN)]
Runtime = Literal["firmware", "tflm", "litert"]
Kind = Literal["mcu", "mobile"]

RUNTIMES_OF_KIND: Mapping[str, tuple[str, ...]] = {"mcu": ("firmware", "tflm"), "mobile": ("litert",)}


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


class Source(_Frozen):
    """Where a number comes from.

    Attributes:
        date: when the source was read, ISO 8601.
        range: the least and the most that sources say, in the number's own unit, where they disagree.
    """

    text: str
    date: str
    range: tuple[float, float] | None = None


class HardwareProfile(_Frozen):
    """One target.

    Attributes:
        extends: the target whose values it took over, and did not replace.
        kind: `mcu` or `mobile`; decides the formats a run writes.
        runtime: whose costs are counted by default.
        core: row of hardware_profiles.cores.
        features: optional instructions that this chip's core has.
        compiler_flags: of GCC and clang, that choose the core.
        emulator: machine of qemu-system-arm with the same core; None where there is none.
        sram_bytes: what data can use, all regions together.
        regions: the parts of the SRAM by name; empty where it is one block.
        latency_factor: measured latency over the estimated one, where somebody measured a model on this very target;
            its source's range then is the interval, in place of the published results' spread.
        sources: where each number comes from, by dotted key.
    """

    name: str
    description: str
    extends: str | None = None
    kind: Kind
    runtime: Runtime
    core: CoreName
    features: tuple[Feature, ...] = ()
    compiler_flags: tuple[CompilerFlag, ...] = ()
    emulator: str | None = None
    clock_hz: Hertz
    flash_bytes: Bytes
    sram_bytes: Bytes
    reserved: Reserved
    budget: Budget
    regions: dict[str, Region] = {}
    latency_factor: Factor | None = None
    sources: dict[str, Source]

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Whose costs can be counted on this target: those of its kind, our firmware where it is made for the core."""
        compiled = instruction_set(self.core, self.features) is not None
        return tuple(name for name in RUNTIMES_OF_KIND[self.kind] if compiled or name != "firmware")

    @property
    def measured_latency(self) -> tuple[float, float, float] | None:
        """(least, middle, most) of measured over estimated latency; None where nobody measured."""
        if self.latency_factor is None:
            return None
        low, high = self.sources["latency_factor"].range or (self.latency_factor, self.latency_factor)
        return low, self.latency_factor, high

    @property
    def largest_block_bytes(self) -> int:
        """The largest run of SRAM without a gap: an arena must lie in one."""
        return max(size for _, size in self.blocks)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Each run of SRAM without a gap, in the order of addresses."""
        return blocks(self.regions) or ((("sram",), self.sram_bytes),)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.runtime not in RUNTIMES_OF_KIND[self.kind]:
            has = "; ".join(f"{kind} has {', '.join(runtimes)}" for kind, runtimes in RUNTIMES_OF_KIND.items())
            raise ValueError(f"runtime '{self.runtime}' is not one of kind '{self.kind}'; {has}")
        if self.runtime not in self.runtimes:
            raise ValueError(
                f"runtime '{self.runtime}' does not run on {self.core}, which has {', '.join(self.runtimes)}"
            )
        for feature in self.features:
            if feature not in CORES[self.core].features:
                has = ", ".join(CORES[self.core].features) or "none"
                raise ValueError(f"feature '{feature}' is not one that {self.core} can have ({has})")
        if self.latency_factor is not None and self.sources["latency_factor"].range is None:
            raise ValueError("latency_factor has no range; a measurement says between what it lies")
        check_regions(self.regions, self.sram_bytes)
        self._check_budgets()
        return self

    def _check_budgets(self) -> None:
        for resource in ("flash_bytes", "sram_bytes"):
            has, reserved, budget = (getattr(part, resource) for part in (self, self.reserved, self.budget))
            if reserved >= has:
                raise ValueError(f"reserved.{resource} is {reserved:,}, but the board has {has:,}")
            if budget > has - reserved:
                raise ValueError(
                    f"budget.{resource} is {budget:,}, but the board offers {has:,} less {reserved:,} reserved: "
                    f"at most {has - reserved:,}"
                )
        if self.budget.sram_bytes > self.largest_block_bytes:
            raise ValueError(
                f"budget.sram_bytes is {self.budget.sram_bytes:,}, but an arena lies in one block, and the largest has "
                f"{self.largest_block_bytes:,}"
            )


def load_profile(name_or_path: str, overrides: Mapping[str, str] | None = None) -> HardwareProfile:
    """The profile of a target.

    Args:
        name_or_path: one of `profile_names()`, or a TOML file of the same form (it ends in `.toml`).
        overrides: dotted key of a number, or `runtime`, to value as `--set` has it: {"budget.sram_bytes": "64KiB"}.

    Raises:
        ProfileError: unknown target or key, a value without its unit, a number without its source, parts that
            contradict each other, a budget above the board's memory.
    """
    profile = _validated(*read_profile(name_or_path, number_keys()), overrides or {})
    if not name_or_path.endswith(".toml") and profile.name != name_or_path:
        raise ProfileError(f"{name_or_path}.toml: name is '{profile.name}'; a target is named as its file")
    return profile


def parse_profile(text: str, file: str, overrides: Mapping[str, str]) -> HardwareProfile:
    """A profile from TOML text; `file` is for messages. See `load_profile`."""
    return _validated(read_text(text, file, number_keys()), file, overrides)


def number_keys() -> tuple[str, ...]:
    """The dotted keys of a profile's numbers but its regions: each has a source, and `--set` may override it."""
    parts = (("budget", Budget), ("reserved", Reserved))
    return (
        "clock_hz",
        "flash_bytes",
        "sram_bytes",
        "latency_factor",
        *(f"{part}.{name}" for part, model in parts for name in model.model_fields),
    )


def _validated(entries: Mapping[str, Any], file: str, overrides: Mapping[str, str]) -> HardwareProfile:
    values: dict[str, Any] = {}
    sources: dict[str, Any] = {}
    for key, entry in (dict(entries) | _overrides(overrides)).items():
        part, _, leaf = key.rpartition(".")
        value = entry
        if isinstance(entry, Number):
            sources[key] = {"text": entry.source, "date": entry.date, "range": _range(entry, key)}
            value = {"size_bytes": entry.value, **entry.extra} if part == "regions" else entry.value
        (values.setdefault(part, {}) if part else values)[leaf] = value
    try:
        return HardwareProfile(**values, sources=sources)
    except ValidationError as error:
        raise ProfileError(_explain(error, file, overrides)) from error


_PARSERS: Mapping[str, Callable[[object], float]] = {
    "clock_hz": parse_hertz,
    "budget.params": parse_count,
    "budget.macs": parse_count,
    "budget.latency_ms": parse_milliseconds,
    "latency_factor": parse_factor,
}


def _range(number: Number, key: str) -> tuple[float, float] | None:
    if number.range is None:
        return None
    parse = _PARSERS.get(key, parse_bytes)
    try:
        low, high = (float(parse(end)) for end in number.range)
        inside = low <= float(parse(number.value)) <= high
    except ValueError as error:
        raise ProfileError(f"{number.file}: {key}: {error}") from error
    if not inside:
        raise ProfileError(f"{number.file}: {key}: the value {number.value} lies outside its range {number.range}")
    return low, high


def _overrides(overrides: Mapping[str, str]) -> dict[str, Number | str]:
    keys = ("runtime", *number_keys())
    for key in overrides:
        if key not in keys:
            raise ProfileError(f"--set: no key '{key}'{nearest(key, keys)}")
    return {k: v if k == "runtime" else Number(v, "--set", "", "--set") for k, v in overrides.items()}


def _explain(error: ValidationError, file: str, overrides: Mapping[str, str]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if overrides:
        file = "--set" if key in overrides else f"{file} with --set"
    if first["type"] == "missing":
        return f"{file}: '{key}' is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{file}: {key}: {message}" if key else f"{file}: {message}"
