"""`pipeline predict`: what a model says about pictures."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from pipeline.audits.request import ModelInput
from pipeline.commands import options
from pipeline.commands.configured import configured
from pipeline.config import settings_of

if TYPE_CHECKING:
    from pipeline.predicting import Predictions

_FILE = click.Path(path_type=Path, allow_dash=True)


@cloup.command()
@options.model
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE|FOLDER|-…")
@cloup.option_group(
    "Answers",
    cloup.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Classes told of each."),
    cloup.option("--json", "json_file", type=_FILE, help="Write them to a file; - for stdout."),
    cloup.option("--csv", "csv_file", type=_FILE, help="Write picture, class, probability; - for stdout."),
    cloup.option(
        "--input",
        "input_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write the model's input of the one PICTURE (.npy): what a device must be given.",
    ),
)
@configured({"How the model is run": settings_of(ModelInput)})
def predict(
    given: dict[str, Any],
    model: Path,
    pictures: tuple[str, ...],
    top: int,
    json_file: Path | None,
    csv_file: Path | None,
    input_file: Path | None,
) -> None:
    """Classify PICTUREs with MODEL: a file, a run directory (its int8 bytes), or a released model's name.

    Pictures whose folder has the name of a class are counted as right or wrong.
    """
    from pipeline.commands.audit import subject_of
    from pipeline.models import model_file
    from pipeline.predicting import predict as predict_pictures

    subject = subject_of(model_file(model), ModelInput(**given))
    found = predict_pictures(subject, pictures, top=top, stdin=sys.stdin.buffer)
    if input_file is not None:
        _write_input(input_file, subject, pictures)
    rows = {**asdict(found), "accuracy": found.accuracy, "confusion": found.confusion}
    _write(json_file, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    _write(csv_file, _csv(found))
    if "-" not in (str(json_file), str(csv_file)):
        _show(found)


def _write(file: Path | None, text: str) -> None:
    from pipeline.files import write_bytes

    if str(file) == "-":
        click.echo(text, nl=False)
    elif file is not None:
        options.written(file, lambda: write_bytes(file, text.encode()))


def _write_input(file: Path, subject: Any, pictures: tuple[str, ...]) -> None:
    import numpy as np

    from pipeline.files import write_bytes
    from pipeline.predicting import input_of

    if len(pictures) != 1 or not Path(pictures[0]).is_file():
        raise click.UsageError("--input is for one picture file")
    content = io.BytesIO()
    np.save(content, input_of(subject, pictures[0]))
    options.written(file, lambda: write_bytes(file, content.getvalue()))


def _csv(found: Predictions) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "class", "probability"])
    writer.writerows([p.picture, p.name, f"{p.guesses[0].probability:.6f}"] for p in found.predictions)
    return text.getvalue()


def _show(found: Predictions) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from pipeline.report.quantities import percent

    console = Console()
    table = Table("picture", "class", "probability", "then", box=None, header_style="dim", pad_edge=False)
    for p in found.predictions:
        first, *others = p.guesses
        then = ", ".join(f"{guess.name} {percent(guess.probability)}" for guess in others)
        colour = "" if p.true is None else "green" if p.true == p.name else "red"
        table.add_row(Text(p.picture), Text(first.name, colour), percent(first.probability), Text(then, "dim"))
    console.print(table)
    console.print(
        Text(f"{found.file} on {found.runner}; {found.resize} to {found.size} x {found.size}, {found.input}", "dim")
    )
    if found.accuracy is not None:
        wrong = [
            (n, true, answer) for true, row in found.confusion.items() for answer, n in row.items() if answer != true
        ]
        mixed = "; ".join(f"{true} taken for {answer}: {n}" for n, true, answer in sorted(wrong, reverse=True)[:5])
        console.print(Text(f"{percent(found.accuracy)} right by their folders{'; ' + mixed if mixed else ''}"))
