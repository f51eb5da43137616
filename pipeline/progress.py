"""Progress for people, on stderr: live bars in a terminal, a line now and then elsewhere (a CI log)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_LINE_SECONDS = 10.0  # between two lines of one step where there is no terminal


class Advance(Protocol):
    """Told how far a long step has come."""

    def __call__(self, done: int, total: int | None, note: str = "") -> None:
        """So many of so many are done; the note is a word or two."""


class Reporter:
    """Tells people what happens; nothing of it is needed by a program."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """One line of text; rich markup is understood."""
        self.console.print(text)

    def begin(self, stage: str) -> None:
        """A stage begins."""
        if not self.console.is_terminal:
            self.line(f"  … {stage}")

    def done(self, stage: str, seconds: float) -> None:
        """A stage is done."""
        self.line(f"  [green]✓[/] {stage:<12}{seconds:7.1f} s")

    def kept(self, stage: str) -> None:
        """A stage's earlier result still holds."""
        self.line(f"  [dim]· {stage:<12}   kept[/]")

    @contextmanager
    def track(self, what: str) -> Iterator[Advance]:
        """Progress of one long step: call the value with (done, total, note) as often as you like."""
        if self.console.is_terminal:
            columns = (
                TextColumn("    {task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            with Progress(*columns, console=self.console, transient=True) as bars:
                task = bars.add_task(what, total=None, note="")

                def update(done: int, total: int | None, note: str = "") -> None:
                    bars.update(task, completed=done, total=total, note=note)

                yield update
            return
        last = time.monotonic()

        def advance(done: int, total: int | None, note: str = "") -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_SECONDS:
                last = time.monotonic()
                share = f"{done} of {total}" if total else str(done)
                self.line(f"    {what}: {share}{', ' + note if note else ''}")
                sys.stderr.flush()

        yield advance
