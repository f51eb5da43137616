"""One configuration out of layers: a preset, the protocol's counts, a file or an earlier run, and what was asked for.

    preset < protocol < --config FILE|RUN < flags and --set

A file is TOML, with the keys that `--print-config` shows; it may extend a preset or another file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pipeline.config import SETTINGS, PresetName, RunConfig
from pipeline.errors import PipelineError, nearest
from pipeline.files import read_object
from pipeline.runs.layout import RUN
from pipeline.runs.places import with_places
from pipeline.values import from_plain, plain

PRESETS: tuple[PresetName, ...] = get_args(PresetName)
_ROOMS = {s.path[0] for s in SETTINGS.values() if len(s.path) > 1}
# what the published protocol fixes: it measures and trains in its own way
_PUBLISHED: Mapping[str, object] = {
    "objective": "flatness",
    "sigmas": (0.05,),
    "augment": "none",
    "optimizer": "asam",
    "teacher": "none",
    "finalist_epochs": 0,
}


def configured(given: Mapping[str, Any], file: Path | None = None) -> RunConfig:
    """The configuration of a run.

    Args:
        given: values by the settings' names, which win over every other layer.
        file: a TOML file, or a run directory, whose configuration is complete.

    Raises:
        PipelineError: a file that can't be read, an unknown key, a value beyond its limits, or settings that exclude
            each other.
    """
    layer = {} if file is None else _layer(file)
    whole = file is not None and file.is_dir()
    preset = given.get("preset", layer.get("preset", "standard"))
    protocol = given.get("protocol", layer.get("protocol", "fast"))
    if whole and (named := [name for name in ("preset", "protocol") if layer[name] != given.get(name, layer[name])]):
        raise PipelineError(f"--config {file} holds every count of its run: leave out --{' and --'.join(named)}")
    content = _preset(preset)
    if protocol == "paper":
        content = merged(content, _shipped("paper"))
    content = merged(content, layer)
    content = merged(content, nested(given))
    config = from_plain(RunConfig, content, "the configuration" if file is None else file)
    _check(config)
    return config


def changed(config: RunConfig, given: Mapping[str, Any]) -> RunConfig:
    """The configuration with other values, by the settings' names.

    Raises:
        PipelineError: as `configured`.
    """
    config = from_plain(RunConfig, merged(plain(config), nested(given)), "the configuration")
    _check(config)
    return config


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, each in its room.

    Raises:
        PipelineError: no setting has the name.
    """
    content: dict[str, Any] = {}
    for name, value in values.items():
        if name not in SETTINGS:
            raise PipelineError(f"no setting '{name}'{nearest(name, SETTINGS)}")
        *rooms, last = SETTINGS[name].path
        place = content
        for room in rooms:
            place = place.setdefault(room, {})
        place[last] = value
    return content


def set_values(pairs: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What `--set` sets: settings by name, and the profile's numbers by key as they are written.

    Raises:
        PipelineError: a room of the configuration has no such setting.
    """
    settings, profile = {}, {}
    for key, text in pairs.items():
        room, dot, name = key.partition(".")
        if not dot or room not in _ROOMS:
            profile[key] = text
            continue
        known = [s.name for s in SETTINGS.values() if s.path[0] == room]
        if name not in known:
            raise PipelineError(f"--set {key}: '{room}' has no setting '{name}'{nearest(name, known)}")
        try:
            settings[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            settings[name] = text  # a word needs no quotes
    return settings, profile


def as_toml(config: RunConfig) -> str:
    """The configuration as a file that `--config` takes."""
    import tomli_w

    def without_none(value: Any) -> Any:
        return {k: without_none(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value

    return tomli_w.dumps(without_none(plain(config)))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The upper layer's values over the lower's, room by room."""
    content = dict(below)
    for key, value in above.items():
        under = content.get(key)
        content[key] = merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return content


def _preset(name: str) -> dict[str, Any]:
    content = _shipped(name)
    below = content.pop("extends", None)
    return content if below is None else merged(_preset(below), content)


def _shipped(name: str) -> dict[str, Any]:
    return tomllib.loads(files("pipeline").joinpath("presets", f"{name}.toml").read_text("utf-8"))


def _layer(file: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A file's values, over those of the file that it extends; a preset that it extends is named by its `preset`."""
    if file.is_dir():
        config = from_plain(RunConfig, read_object(file / RUN, "config")["config"], file / RUN)
        layer: dict[str, Any] = plain(with_places(config, file))
        return layer
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise PipelineError(f"--config {file}: {error.strerror}") from error
    except ValueError as error:
        raise PipelineError(f"--config {file} is no TOML: {error}") from error
    below = content.pop("extends", None)
    if below is None:
        return content
    if below in PRESETS:
        return {"preset": below, **content}
    other = (file.parent / str(below)).resolve()
    if other in seen:
        raise PipelineError(f"--config {file}: it extends itself")
    if not other.is_file():
        raise PipelineError(
            f"--config {file}: extends '{below}', which is no file and no preset{nearest(below, PRESETS)}"
        )
    return merged(_layer(other, (*seen, file.resolve())), content)


def _check(config: RunConfig) -> None:
    if config.protocol == "paper":
        others = [s for s in SETTINGS.values() if s.name in _PUBLISHED and s.of(config) != _PUBLISHED[s.name]]
        if others:
            named = ", ".join(s.flag for s in others)
            raise PipelineError(f"--protocol paper measures and trains as FlatNAS was published: leave out {named}")
    if len(set(config.search.sigmas)) < len(config.search.sigmas):
        raise PipelineError("--sigma names a noise twice: name each once")
    finalists, training = config.training.finalist_epochs, config.training
    if finalists and config.search.select != "accuracy":
        raise PipelineError(
            f"--finalist-epochs chooses by accuracy, and --select {config.search.select} doesn't: leave one out"
        )
    if finalists and training.finetune_epochs == 0:
        raise PipelineError(
            "--finalist-epochs chooses what to fine-tune, and --finetune-epochs 0 doesn't: leave one out"
        )
    if config.search.most < config.search.evaluations or config.search.evaluations < config.search.initial:
        raise PipelineError("search.initial, search.evaluations and search.most must not fall: raise the later ones")
