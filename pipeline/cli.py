"""The command line: parse, call, print, exit code.

Exit codes: 0 done and every gate passed; 1 a gate, the budget or a proof failed; 2 wrong use or unusable input, one
line on stderr; 70 an error that nobody expected, one line that names a file with its traceback; 130 interrupted;
143 told to stop (SIGTERM).
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from types import FrameType

import click

from pipeline.commands import COMMANDS


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="flatnas-deploy", prog_name="pipeline")
def pipeline() -> None:
    """From a hardware profile to an int8 model whose robustness was audited on the bytes that ship."""


for command in COMMANDS:
    pipeline.add_command(command)


class _ToldToStop(BaseException):
    """SIGTERM, as a job's time limit or `kill` sends it: what is open is closed as for an interrupt."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _ToldToStop


def main(command: click.Command = pipeline) -> None:
    """Run a command line and exit."""
    signal.signal(signal.SIGTERM, _stop)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        code = command.main(standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):  # Abort is click's form of Ctrl-C
        _say("interrupted; call the same command again to go on")
        os._exit(130)  # CPython remembers an interrupt within exec(), and would end by the signal instead
    except _ToldToStop:
        _say("told to stop; call the same command again to go on")
        os._exit(128 + signal.SIGTERM)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except Exception as error:
        if disk := _disk_error(error):
            _fail(f"{disk}; mend that, and call the same command again to go on", 2)
        expected = _expected_errors()
        if not isinstance(error, expected):
            _fail(f"{type(error).__name__}: {error}; this is a fault of pipeline: {_keep_traceback()}", 70)
        from pipeline.errors import InfeasibleBudgetError

        _fail(str(error), 1 if isinstance(error, InfeasibleBudgetError) else 2)
    sys.exit(code if isinstance(code, int) else 0)


def _expected_errors() -> tuple[type[Exception], ...]:
    """What a user can mend, by the package that says so; anything else is a bug and shows its traceback."""
    from export.graph import ExportError
    from flatnas.errors import FlatnasError
    from hardware_profiles.profile import ProfileError
    from pipeline.errors import PipelineError

    return (PipelineError, ProfileError, FlatnasError, ExportError)


def _keep_traceback() -> str:
    """Where the traceback of the error being handled was written; if nowhere, it is printed."""
    import tempfile
    import traceback
    from importlib.metadata import version

    told = f"pipeline {version('flatnas-deploy')}, {sys.version}\n{sys.argv}\n\n{traceback.format_exc()}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="pipeline-error-", suffix=".txt", delete=False) as file:
            file.write(told)
    except OSError:
        click.echo(told, err=True)
        return "please report it with the traceback above"
    return f"please report it with {file.name}"


def _disk_error(error: Exception) -> str | None:
    """What the system says of a disk that takes no more; None where an error is about something else."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return f"can't write{f' {error.filename}' if error.filename else ''}: {error.strerror}"
    if f"os error {errno.ENOSPC}" in str(error):  # as safetensors says it
        return "can't write: No space left on device"
    return None


def _fail(message: str, code: int) -> None:
    _say(message)
    sys.exit(code)


def _say(message: str) -> None:
    from export.graph import shown

    click.echo(f"error: {shown(' '.join(message.split()))}", err=True)
