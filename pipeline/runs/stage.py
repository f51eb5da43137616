"""A stage: a function that reads named files of a run directory and writes named files, by settings it declares.

The settings of a stage are a frozen dataclass whose fields name what its outcome depends on: values of the run's
configuration, of its preset, of the hardware profile, or facts of the data and the machine (`pipeline.runs.facts`). A
stage is handed nothing else, so what is in its key is all that it can have used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

if TYPE_CHECKING:
    from flatnas.data.dataset import Dataset
    from pipeline.progress import Reporter
    from pipeline.runs.places import Places

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class StageContext(Generic[S_co]):
    """What a stage is given.

    Attributes:
        directory: the run directory.
        declared: files and folders of it that the stage may touch.
        work: a directory of this stage and key for checkpoints; outlives a kill, removed when the stage is done.
        data: the data set; without test images, unless the stage opens them.
        data_dir: where the user keeps data sets; None for the usual places.
        places: where lies what the run names by a path; its content is in the settings, by its hash.
        report: progress for people.
    """

    directory: Path
    declared: tuple[str, ...]
    work: Path
    settings: S_co
    data: Dataset
    data_dir: Path | None
    places: Places
    report: Reporter

    def path(self, name: str) -> Path:
        """A file of the run directory.

        Raises:
            ValueError: the stage has not declared it.
        """
        if not any(name == known or known.startswith(f"{name}/") for known in self.declared):
            raise ValueError(f"'{name}' is none of the files that this stage declares: {', '.join(self.declared)}")
        return self.directory / name


@dataclass(frozen=True, slots=True)
class Stage(Generic[S]):
    """One step of the flow.

    Attributes:
        name: as shown and recorded.
        reads: files of the run directory; one that is absent counts, too.
        writes: files it may write; those that are there afterwards are its outcome.
        settings: the dataclass of its settings.
        run: does it.
        opens_test_images: whether it may see them.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    settings: type[S]
    run: Callable[[StageContext[S]], None]
    opens_test_images: bool = False


def settings_from(settings: type[S], value_of: Callable[[str], Any]) -> S:
    """The settings of a stage, each field by its name; a field that is a dataclass by its own fields.

    Args:
        value_of: the value of a name.
    """
    hints = get_type_hints(settings)
    values = {}
    for field in fields(settings):  # type: ignore[arg-type]
        kind = hints[field.name]
        nested = isinstance(kind, type) and is_dataclass(kind)
        values[field.name] = settings_from(kind, value_of) if nested else value_of(field.name)
    return settings(**values)
