"""The command line: parse, call, print, exit code.

Exit codes: 0 done and every gate passed; 1 a gate, the budget or a proof failed; 2 wrong use or unusable input, one
line on stderr; 70 an error that nobody expected, one line that names a file with its traceback; 130 interrupted;
143 told to stop (SIGTERM), 129 by a terminal that closed (SIGHUP).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from pipeline.commands import COMMANDS


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="flatnas-deploy", prog_name="pipeline")
def pipeline() -> None:
    """From a hardware profile to an int8 model whose robustness was audited on the bytes that ship."""


for command in COMMANDS:
    pipeline.add_command(command)


class _ToldToStop(BaseException):
    """A signal that ends a job, as its time limit, `kill` or a closed terminal sends it.

    What is open is closed as for an interrupt.
    """


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _ToldToStop(number)


def main(command: click.Command = pipeline) -> None:
    """Run a command line and exit."""
    from pipeline.temporary import own_temporary_folder

    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _stop)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        with own_temporary_folder() as around:
            code = _run(command, around)
    except KeyboardInterrupt:
        _leave("interrupted", signal.SIGINT)
    except _ToldToStop as told:
        _leave("told to stop", told.args[0])
    sys.exit(code)


def _leave(why: str, number: int) -> NoReturn:
    """End as a shell expects of a signal. At once: CPython remembers an interrupt within exec(), and would obey it."""
    with suppress(OSError):  # the terminal may be gone
        _say(f"{why}; call the same command again to go on")
    os._exit(128 + number)


def _run(command: click.Command, around: Path) -> int:
    """The exit code of a command, after its one line of error.

    Args:
        around: where the traceback of a fault of ours goes.
    """
    try:
        code = command.main(prog_name="pipeline", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort as error:  # click's form of Ctrl-C
        raise KeyboardInterrupt from error
    except click.exceptions.NoArgsIsHelpError as error:
        return _fail(_commands_of(error.ctx), 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except Exception as error:
        from pipeline.exhausted import exhausted

        if lacking := exhausted(error):
            return _fail(f"{lacking}, and call the same command again to go on", 2)
        expected = _expected_errors()
        if not isinstance(error, expected):
            kept = _keep_traceback(around)
            return _fail(f"{type(error).__name__}: {error}; this is a fault of pipeline: {kept}", 70)
        from pipeline.errors import InfeasibleBudgetError

        return _fail(str(error), 1 if isinstance(error, InfeasibleBudgetError) else 2)
    return code if isinstance(code, int) else 0


def _commands_of(context: click.Context) -> str:
    """What to say to a command that was called without one of its own."""
    assert isinstance(context.command, click.Group)
    name, choices = context.command_path, ", ".join(sorted(context.command.commands))
    return f"{name}: name one of {choices}; '{name} --help' tells what each does"


def _expected_errors() -> tuple[type[Exception], ...]:
    """What a user can mend, by the package that says so; anything else is a bug and shows its traceback."""
    from export.graph import ExportError
    from flatnas.errors import FlatnasError
    from hardware_profiles.profile import ProfileError
    from pipeline.errors import PipelineError

    return (PipelineError, ProfileError, FlatnasError, ExportError)


def _keep_traceback(around: Path) -> str:
    """Where the traceback of the error being handled was written; if nowhere, it is printed."""
    import tempfile
    import traceback
    from importlib.metadata import version

    told = f"pipeline {version('flatnas-deploy')}, {sys.version}\n{sys.argv}\n\n{traceback.format_exc()}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=around, prefix="pipeline-error-", suffix=".txt", delete=False
        ) as file:
            file.write(told)
    except OSError:
        click.echo(told, err=True)
        return "please report it with the traceback above"
    return f"please report it with {file.name}"


def _fail(message: str, code: int) -> int:
    _say(message)
    return code


def _say(message: str) -> None:
    from export.graph import shown

    click.echo(f"error: {shown(' '.join(message.split()))}", err=True)
