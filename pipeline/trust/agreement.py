"""Do the files of a run tell the same story? One check per pair of tellers; each yields a line per disagreement.

Whoever edits one file must edit every other that repeats it. Whoever edits all of them is stopped by a signature alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flatnas.search.measured import Evaluation
from pipeline.errors import PipelineError
from pipeline.report.run_report import RunReport
from pipeline.runs.layout import (
    ARCH,
    AUDIT,
    CARD,
    EVALUATIONS,
    FINALISTS,
    FIRMWARE,
    FRONT,
    INT8_TFLITE,
    LABELS,
    MODEL,
    PARITY,
    PREDICTIONS,
    PROOF,
    QUANTIZATION,
    REPORT,
    RUN,
    SUPERNET,
)
from pipeline.trust.card import missing_from_card
from pipeline.trust.finished import FinishedRun, parsed, without_place
from pipeline.trust.network import of_the_shipped_network
from pipeline.trust.statements import STATEMENTS
from pipeline.trust.verdict import of_the_verdict
from pipeline.values import from_plain, plain, read_lines

Check = Callable[[FinishedRun], Iterator[str]]

MAY_BE_LEFT_OUT = frozenset((SUPERNET, LABELS, PREDICTIONS))  # of a released model: large, and not needed to use it
_HEADER = f"{FIRMWARE}/src/model.h"
_HEADER_SHA256 = re.compile(r'^#define MODEL_TFLITE_SHA256 "([0-9a-f]*)"$', re.MULTILINE)


def disagreements(run: FinishedRun) -> list[str]:
    """A line for everything that two files of a run tell differently."""
    return [line for check in CHECKS for line in check(run)]


def _stages(run: FinishedRun) -> Iterator[str]:
    """`run.json` holds the hash of every file that a stage wrote, and a stage wrote every file."""
    outputs = run.outputs
    for path, digest in outputs.items():
        if path not in run.files:
            if path not in MAY_BE_LEFT_OUT:
                yield f"{RUN}: a stage wrote {path}, which is not here"
        elif run.files[path] != digest:
            yield f"{RUN}: a stage wrote another {path} (sha256 {digest[:12]}…)"
    for path in run.files:
        if path not in outputs and path != RUN:
            yield f"{RUN}: no stage wrote {path}"


def _request(run: FinishedRun) -> Iterator[str]:
    """The report is about what was asked."""
    report, recorded = run.report, run.recorded
    told = {"target": report.target, "dataset": report.dataset.name, "seed": report.seed}
    asked: dict[str, dict[str, object]] = {
        "identity": {key: recorded.identity.get(key) for key in ("target", "dataset")},
        "config": {
            "target": run.config.target,
            "dataset": run.config.data.dataset,
            "seed": run.config.seed,
        },
    }
    for part, values in asked.items():
        for key, value in values.items():
            if _comparable(value) != _comparable(told[key]):
                yield f"{REPORT}: {key} is '{told[key]}', {RUN} has '{value}' ({part})"
    if report.dataset.sha256 != recorded.identity.get("data_sha256"):
        yield f"{REPORT}: dataset.sha256 is '{report.dataset.sha256}', {RUN} has another"


def _comparable(value: object) -> object:
    return without_place(value) if isinstance(value, str) else value


def _artifacts(run: FinishedRun) -> Iterator[str]:
    """The report lists the files under model/ and audit/ as they are."""
    listed = run.report.artifacts
    for path, digest in listed.items():
        if run.files.get(path, digest) != digest:
            yield f"{REPORT}: lists another {path} (sha256 {digest[:12]}…)"
        elif path not in run.files and path not in MAY_BE_LEFT_OUT:
            yield f"{REPORT}: lists {path}, which is not here"
    for path in run.files:
        if path.startswith(("model/", "audit/")) and path not in listed:
            yield f"{REPORT}: does not list {path}"


def _model(run: FinishedRun) -> Iterator[str]:
    """`model.json` and the C sources are of the int8 file."""
    digest = run.files[INT8_TFLITE]
    if run.model.file != INT8_TFLITE.rpartition("/")[2]:
        yield f"{MODEL}: is about '{run.model.file}'"
    if run.model.sha256 != digest:
        yield f"{MODEL}: is of another {INT8_TFLITE} (sha256 {run.model.sha256[:12]}…)"
    if _HEADER in run.files:
        found = _HEADER_SHA256.search((run.directory / _HEADER).read_text("utf-8", "replace"))
        if found is None or found[1] != digest:
            yield f"{_HEADER}: is of another {INT8_TFLITE}"


# which part of the report a file is the source of: the part, given the file's content and the report as JSON
_SOURCES: Mapping[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    AUDIT: lambda content, _: {"audit": content},
    PARITY: lambda content, _: {"parity": content},
    PROOF: lambda content, _: {"firmware": content},
    QUANTIZATION: lambda content, _: {"quantization": content},
    ARCH: lambda content, _: {"arch": content},
    FRONT: lambda content, report: {"search": report["search"] | content},
    FINALISTS: lambda content, report: {"search": report["search"] | {"finalists": content}},
}
_NEEDED = (AUDIT, PARITY, ARCH, FRONT)


def _sources(run: FinishedRun) -> Iterator[str]:
    """Put what a file tells into the report: it must be the same report."""
    report = plain(run.report)
    for path, part in _SOURCES.items():
        if path not in run.files:
            if path in _NEEDED or (path == PROOF and report["firmware"]):
                yield f"{path} is missing, and {REPORT} tells of it"
            continue
        try:
            told = part(parsed(run.directory, path, Any), report)
            expected = plain(from_plain(RunReport, report | told, path))
        except PipelineError as error:
            yield str(error)
        except (KeyError, TypeError):
            yield f"{path} is not as a run writes it"
        else:
            yield from (f"{REPORT}: {line}, {path} has another" for line in _differences(report, expected, ""))


def _differences(found: Any, expected: Any, where: str) -> Iterator[str]:
    """`key is value` for each leaf that differs; of lists and other values the whole."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        for key in found:
            yield from _differences(found[key], expected[key], f"{where}.{key}" if where else str(key))
    elif found != expected:
        yield f"{where} is {found}" if not isinstance(found, dict | list) else f"{where} differs"


def _evaluations(run: FinishedRun) -> Iterator[str]:
    """The subnets that the report shows were measured."""
    if EVALUATIONS not in run.files:
        yield f"{EVALUATIONS} is missing, and {REPORT} tells of it"
        return
    search = run.report.search
    try:
        measured = read_lines(Evaluation, run.directory / EVALUATIONS)
    except (PipelineError, UnicodeDecodeError):
        yield f"{EVALUATIONS} is not as a run writes it"
        return
    if search.evaluations != len(measured):
        yield f"{REPORT}: search.evaluations is {search.evaluations}, {EVALUATIONS} has {len(measured)}"
    shown = {"search.front": search.front, "search.selected": [search.selected] if search.selected else []}
    for where, subnets in shown.items():
        if any(subnet not in measured for subnet in subnets):
            yield f"{REPORT}: {where} has a subnet that {EVALUATIONS} has not"


def _card(run: FinishedRun) -> Iterator[str]:
    """People read the card: it must tell what the report tells."""
    if CARD not in run.files:
        yield f"{CARD} is missing: a finished run has one"
        return
    text = (run.directory / CARD).read_text("utf-8", "replace")
    for what, line in missing_from_card(text, run.report, run.model.labels):
        yield f"{CARD}: {what} should read '{line}'"


def _statements(run: FinishedRun) -> Iterator[str]:
    """SBOM and provenance are about these files."""
    for path, about in (statement for statement in STATEMENTS.items() if (run.directory / statement[0]).is_file()):
        try:
            told = about(parsed(run.directory, path, Any))
        except PipelineError as error:
            yield str(error)
        except (KeyError, TypeError, IndexError, AttributeError):
            yield f"{path} is not as 'pipeline sign' writes it"
        else:
            if told != run.files:
                yield f"{path}: is about other files than these"


CHECKS: tuple[Check, ...] = (
    _stages,
    _request,
    _artifacts,
    _model,
    of_the_shipped_network,
    _sources,
    _evaluations,
    of_the_verdict,
    _card,
    _statements,
)
