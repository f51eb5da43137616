"""Runs stages in order, and skips what still holds.

A stage's key is a hash of what its outcome depends on: the settings it names, the bytes of the files it needs, and its
version. A stage whose key and outputs are those recorded in `run.json` is kept. So a killed run goes on where it
stopped, a finished one does nothing, and one changed setting redoes only the stages it touches.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatnas.data.dataset import Dataset
from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import (
    MANIFEST,
    WORK,
    Artifact,
    exclusive,
    read_json,
    read_object,
    sha256_of,
    unfinish,
    write_json,
    write_manifest,
    writing_to,
)
from pipeline.config import PipelineError, Preset, RunConfig
from pipeline.progress import Reporter


@dataclass(frozen=True, slots=True, eq=False)
class StageContext:
    """What a stage is given: where it works, what it is asked, how it tells.

    Attributes:
        directory: the run directory; a stage reads and writes only the files it declares.
        work: a directory of this stage and key for checkpoints; outlives a kill, removed when the stage is done.
        data: the data set, its three parts.
        data_dir: where the user keeps data sets; None for the usual places.
        report: progress for people.
    """

    directory: Path
    work: Path
    config: RunConfig
    profile: HardwareProfile
    data: Dataset
    report: Reporter
    data_dir: Path | None = None

    @property
    def counts(self) -> Preset:
        """The preset's counts."""
        return self.config.counts

    def path(self, name: str) -> Path:
        """A file of the run directory."""
        return self.directory / name


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the flow.

    Attributes:
        name: as shown and recorded.
        needs: files of the run directory it reads.
        gives: files it writes.
        settings: what else its outcome depends on: JSON values from the configuration and the profile.
        run: does it.
        may_give: files it writes for some targets only.
        version: raised when the stage's meaning changes, so that older results are not kept.
        names_classes: whether it writes the names of the classes, which training and measuring do not depend on.
        finds: what of this machine its outcome depends on, told from the data set and its directory; None for nothing.
    """

    name: str
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    settings: Callable[[RunConfig, HardwareProfile], Mapping[str, Any]]
    run: Callable[[StageContext], None]
    may_give: tuple[str, ...] = ()
    version: int = 1
    names_classes: bool = False
    finds: Callable[[Dataset, Path | None], str | None] = lambda data, data_dir: None


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A finished stage in `run.json`: its key, its outputs, and the seconds it took."""

    name: str
    key: str
    seconds: float
    outputs: tuple[Artifact, ...]

    def holds(self, key: str, directory: Path) -> bool:
        """Whether the outputs on disk are those this record is about."""
        return self.key == key and all(
            (directory / a.path).is_file() and sha256_of(directory / a.path) == a.sha256 for a in self.outputs
        )


def run_stages(
    stages: Sequence[Stage],
    directory: Path,
    config: RunConfig,
    profile: HardwareProfile,
    data: Dataset,
    report: Reporter,
    data_dir: Path | None = None,
) -> bool:
    """Bring a run directory up to date.

    Returns:
        Whether anything had to be done.

    Raises:
        PipelineError: the directory belongs to another run, is in use by one, or can't be written.
    """
    open_run(directory, config, data)
    with exclusive(directory):
        return _run_stages(stages, directory, config, profile, data, report, data_dir)


def _run_stages(
    stages: Sequence[Stage],
    directory: Path,
    config: RunConfig,
    profile: HardwareProfile,
    data: Dataset,
    report: Reporter,
    data_dir: Path | None,
) -> bool:
    identity, records = _identity(config, data), _records(directory)
    changed = False
    for stage in stages:
        key = _key(stage, config, profile, data, data_dir, directory)
        record = records.get(stage.name)
        if record and record.holds(key, directory):
            report.kept(stage.name)
            continue
        changed = True
        unfinish(directory)
        work = directory / WORK / f"{stage.name}-{key[:12]}"
        work.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        report.begin(stage.name)
        stage.run(StageContext(directory, work, config, profile, data, report, data_dir))
        seconds = time.monotonic() - started
        written = [*stage.gives, *(name for name in stage.may_give if (directory / name).exists())]
        outputs = tuple(Artifact(name, sha256_of(directory / name)) for name in written)
        records[stage.name] = StageRecord(stage.name, key, round(seconds, 1), outputs)
        _save(directory, identity, config, records)
        shutil.rmtree(work, ignore_errors=True)
        report.done(stage.name, seconds)
    if changed or not (directory / MANIFEST).exists():
        shutil.rmtree(directory / WORK, ignore_errors=True)
        _save(directory, identity, config, records)
        write_manifest(directory)
    return changed


def open_run(directory: Path, config: RunConfig, data: Dataset) -> None:
    """Make a directory that of this run, or see that it is.

    Raises:
        PipelineError: it belongs to another run, holds something else, or can't be written.
    """
    identity = _identity(config, data)
    with writing_to(directory):
        directory.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in directory.iterdir() if not path.name.startswith(".")}
    if not os.access(directory, os.W_OK):
        raise PipelineError(f"can't write to {directory}: permission denied; name another directory with --out")
    path = directory / "run.json"
    if path.name not in names:
        if names:
            raise PipelineError(f"{directory} holds other files and no run; name an empty or new directory with --out")
        write_json(path, {"identity": identity, "stages": []})
    saved = read_object(path, "identity", "stages")
    for name, value in identity.items():
        if (its := saved["identity"].get(name)) != value:
            raise PipelineError(
                f"{directory} holds a run of {name} '{its}', not '{value}'; name another directory with --out"
            )


def _identity(config: RunConfig, data: Dataset) -> dict[str, str]:
    return {"target": config.target, "dataset": config.dataset, "data_sha256": data.content_sha256}


def _records(directory: Path) -> dict[str, StageRecord]:
    records = {}
    for entry in read_json(directory / "run.json")["stages"]:
        outputs = tuple(Artifact(**a) for a in entry["outputs"])
        records[entry["name"]] = StageRecord(entry["name"], entry["key"], entry["seconds"], outputs)
    return records


def _key(
    stage: Stage,
    config: RunConfig,
    profile: HardwareProfile,
    data: Dataset,
    data_dir: Path | None,
    directory: Path,
) -> str:
    needed = {name: sha256_of(directory / name) if (directory / name).is_file() else None for name in stage.needs}
    value = [stage.name, stage.version, dict(stage.settings(config, profile)), data.content_sha256, needed]
    value += [list(data.class_names)] if stage.names_classes else []
    found = stage.finds(data, data_dir)
    value += [] if found is None else [found]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _save(directory: Path, identity: Mapping[str, str], config: RunConfig, records: Mapping[str, StageRecord]) -> None:
    stages = [
        {
            "name": r.name,
            "key": r.key,
            "seconds": r.seconds,
            "outputs": [{"path": a.path, "sha256": a.sha256} for a in r.outputs],
        }
        for r in records.values()
    ]
    from pipeline.provenance import versions

    write_json(
        directory / "run.json",
        {
            "identity": dict(identity),
            "config": config.model_dump(),
            "seed": config.seed,
            "versions": versions(),
            "stages": stages,
        },
    )
