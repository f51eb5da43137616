"""Runs stages in order, and skips what still holds.

A stage's key is a hash of what its outcome depends on: its settings, the bytes of the files it reads, the data, and the
code it reaches (`pipeline.runs.code`). A stage whose key and outputs are those recorded in `run.json` is kept. So a
killed run goes on where it stopped, a finished one does nothing, and one changed setting or formula redoes only the
stages it touches. The versions of libraries are recorded and not in the key; `adopt` keeps a stage whose code
changed in nothing that matters, and `run.json` tells of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from flatnas.data.dataset import Images
from hardware_profiles.profile import HardwareProfile
from pipeline.config import RunConfig
from pipeline.errors import PipelineError, nearest
from pipeline.files import exclusive, sha256_of, writing_to
from pipeline.progress import Reporter
from pipeline.provenance import versions
from pipeline.runs.code import code_sha256
from pipeline.runs.facts import Origin
from pipeline.runs.layout import MANIFEST, RUN, WORK
from pipeline.runs.manifest import Artifact, unfinish, write_manifest
from pipeline.runs.places import places_of, remember_places
from pipeline.runs.stage import Stage, StageContext, settings_from
from pipeline.runs.timings import add_stage
from pipeline.values import read_value, write_value


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A finished stage in `run.json`: its key, its outputs, and the versions of Python and libraries that ran it."""

    name: str
    key: str
    outputs: tuple[Artifact, ...]
    versions: Mapping[str, str]

    def holds(self, key: str, directory: Path) -> bool:
        """Whether the outputs on disk are those this record is about."""
        return self.key == key and all(
            (directory / a.path).is_file() and sha256_of(directory / a.path) == a.sha256 for a in self.outputs
        )


@dataclass(frozen=True, slots=True)
class Adoption:
    """A stage that was kept although its key changed, by somebody who said why."""

    stage: str
    because: str
    key: str


def run_stages(stages: Sequence[Stage[Any]], directory: Path, origin: Origin, report: Reporter) -> bool:
    """Bring a run directory up to date.

    Returns:
        Whether anything had to be done.

    Raises:
        PipelineError: the directory belongs to another run, is in use by one, or can't be written.
    """
    open_run(directory, origin)
    with exclusive(directory):
        remember_places(directory, origin.config)
        return _run_stages(stages, directory, origin, report)


def _run_stages(stages: Sequence[Stage[Any]], directory: Path, origin: Origin, report: Reporter) -> bool:
    saved = _Saved.read(directory)
    places = places_of(origin.config)
    changed = False
    noticed: set[str] = set()
    for stage in stages:
        settings = settings_from(stage.settings, origin.value_of)
        key = stage_key(stage, settings, origin, directory)
        record = saved.stages.get(stage.name)
        if record and record.holds(key, directory):
            report.kept(stage.name)
            if (told := other_versions(record.versions)) and told not in noticed:
                report.line(f"    [yellow]made with {told}[/]")
                noticed.add(told)
            continue
        changed = True
        unfinish(directory)
        for name in stage.writes:
            (directory / name).unlink(missing_ok=True)
        work = directory / WORK / f"{stage.name}-{key[:12]}"
        work.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        report.begin(stage.name)
        data = origin.data
        if not stage.opens_test_images:
            data = replace(data, test=data.train.take(slice(0)))
        declared = (*stage.reads, *stage.writes)
        stage.run(StageContext(directory, declared, work, settings, data, origin.data_dir, places, report))
        seconds = time.monotonic() - started
        written = [name for name in stage.writes if (directory / name).exists()]
        outputs = tuple(Artifact(name, sha256_of(directory / name)) for name in written)
        saved.stages[stage.name] = StageRecord(stage.name, key, outputs, versions())
        saved.write(directory, origin)
        add_stage(directory, stage.name, seconds)
        shutil.rmtree(work, ignore_errors=True)
        report.done(stage.name, seconds)
    if changed or not (directory / MANIFEST).exists():
        shutil.rmtree(directory / WORK, ignore_errors=True)
        saved.write(directory, origin)
        write_manifest(directory)
    return changed


def adopt(stages: Sequence[Stage[Any]], directory: Path, origin: Origin, name: str, because: str) -> None:
    """Keep a stage's outputs under the key that it would have now; `run.json` remembers who said why.

    Raises:
        PipelineError: no such stage, it was never run here, its outputs changed, or the directory is another run's.
    """
    by_name = {stage.name: stage for stage in stages}
    if name not in by_name:
        raise PipelineError(f"no stage '{name}'{nearest(name, by_name)}")
    open_run(directory, origin)
    with exclusive(directory):
        saved, stage = _Saved.read(directory), by_name[name]
        record = saved.stages.get(name)
        if record is None:
            raise PipelineError(f"{directory} has no result of stage '{name}': call 'pipeline run' for it")
        if not record.holds(record.key, directory):
            raise PipelineError(f"the files of stage '{name}' in {directory} are not those that it wrote: run it again")
        key = stage_key(stage, settings_from(stage.settings, origin.value_of), origin, directory)
        if key == record.key:
            raise PipelineError(f"stage '{name}' of {directory} holds as it is: there is nothing to adopt")
        finished = (directory / MANIFEST).exists()
        saved.stages[name] = replace(record, key=key)
        saved.adoptions.append(Adoption(name, because, key))
        unfinish(directory)
        saved.write(directory, origin)
        if finished:
            write_manifest(directory)


def open_run(directory: Path, origin: Origin) -> None:
    """Make a directory that of this run, or see that it is.

    Raises:
        PipelineError: it belongs to another run, holds something else, or can't be written.
    """
    identity = _identity(origin)
    with writing_to(directory):
        directory.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in directory.iterdir() if not path.name.startswith(".")}
    if not os.access(directory, os.W_OK):
        raise PipelineError(f"can't write to {directory}: permission denied; name another directory with --out")
    path = directory / RUN
    if path.name not in names:
        if names:
            raise PipelineError(f"{directory} holds other files and no run; name an empty or new directory with --out")
        write_value(path, RunRecord(identity))
    saved = read_value(RunRecord, path)
    for name, value in identity.items():
        if (its := saved.identity.get(name)) != value:
            raise PipelineError(
                f"{directory} holds a run of {name} '{its}', not '{value}'; name another directory with --out"
            )


def stage_key(stage: Stage[Any], settings: object, origin: Origin, directory: Path) -> str:
    """The hash of what a stage's outcome depends on."""
    data = origin.data
    facts = [data.mirrors, data.shift, *(_labels_sha256(part) for part in (data.train, data.val))]
    read = {name: sha256_of(directory / name) if (directory / name).is_file() else None for name in stage.reads}
    value = [stage.name, plain(settings), data.content_sha256, facts, read, code_sha256(stage.run.__module__)]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _labels_sha256(images: Images) -> str:
    """Of a part's labels: with the data's hash it names the split."""
    return hashlib.sha256(images.labels.astype("<i8").tobytes()).hexdigest()


def plain(value: Any) -> Any:
    """A setting as JSON values; of a profile, what a network's cost or code can depend on."""
    if isinstance(value, HardwareProfile):
        told = value.model_dump(mode="json", exclude={"name", "description", "extends", "sources"})
        return told | {"measured_latency": value.measured_latency}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _identity(origin: Origin) -> dict[str, str]:
    config = origin.asked
    return {"target": config.target, "dataset": config.data.dataset, "data_sha256": origin.data.content_sha256}


def other_versions(made_by: Mapping[str, str]) -> str:
    """What differs between the versions behind a kept stage and those that are here."""
    here = versions()
    differing = [name for name in here if name in made_by and made_by[name] != here[name]]
    return ", ".join(f"{name} {made_by[name]}, here {here[name]}" for name in differing)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`run.json`.

    Attributes:
        identity: target, data set and the data's hash: what a directory is of.
        stages: those that are finished, in order.
    """

    identity: Mapping[str, str]
    config: RunConfig | None = None
    stages: tuple[StageRecord, ...] = ()
    adopted: tuple[Adoption, ...] = ()


@dataclass(slots=True, eq=False)
class _Saved:
    """What `run.json` remembers of earlier calls."""

    stages: dict[str, StageRecord]
    adoptions: list[Adoption]

    @staticmethod
    def read(directory: Path) -> _Saved:
        """From a run directory."""
        record = read_value(RunRecord, directory / RUN)
        return _Saved({stage.name: stage for stage in record.stages}, list(record.adopted))

    def write(self, directory: Path, origin: Origin) -> None:
        """Into a run directory."""
        stages, adopted = tuple(self.stages.values()), tuple(self.adoptions)
        write_value(directory / RUN, RunRecord(_identity(origin), origin.asked, stages, adopted))
