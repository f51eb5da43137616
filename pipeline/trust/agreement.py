"""Do the files of a run tell the same story? One check per pair of tellers; each yields a line per disagreement.

Whoever edits one file must edit every other that repeats it. Whoever edits all of them is stopped by a signature alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from flatnas.search.measured import Evaluation
from flatnas.space.arch import Arch
from pipeline.audits.result import AuditResult
from pipeline.errors import PipelineError
from pipeline.files import read_json
from pipeline.report.run_report import RunReport
from pipeline.results.firmware import FirmwareProof
from pipeline.results.parity import ParityRow
from pipeline.results.quantization import Quantization
from pipeline.results.search import Finalist, Front
from pipeline.runs.layout import (
    ARCH,
    AUDIT,
    CARD,
    EVALUATIONS,
    FINALISTS,
    FIRMWARE,
    FLOAT_ONNX,
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
from pipeline.trust.finished import FinishedRun, parsed
from pipeline.trust.network import of_the_shipped_network
from pipeline.trust.statements import STATEMENTS
from pipeline.trust.verdict import of_the_verdict
from pipeline.values import plain, read_lines

Check = Callable[[FinishedRun], Iterator[str]]

MAY_BE_LEFT_OUT = frozenset((SUPERNET, LABELS, PREDICTIONS))  # of a released model: large, and not needed to use it
_HEADER = f"{FIRMWARE}/src/model.h"
_HEADER_SHA256 = re.compile(r'^#define MODEL_TFLITE_SHA256 "([0-9a-f]*)"$', re.MULTILINE)


def disagreements(run: FinishedRun) -> list[str]:
    """A line for everything that two files of a run tell differently."""
    return [line for check in CHECKS for line in check(run)]


def _stages(run: FinishedRun) -> Iterator[str]:
    """`run.json` holds the hash of every file that a stage wrote, and a stage wrote every file."""
    outputs = run.outputs()
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
    """The report is about what was asked, and the data that were there."""
    report, identity, config = run.report, run.record.identity, run.config
    pairs: dict[str, tuple[object, dict[str, object]]] = {
        "target": (report.target, {"identity": identity.get("target"), "config": config.target}),
        "dataset.name": (report.dataset.name, {"identity": identity.get("dataset"), "config": config.data.dataset}),
        "dataset.sha256": (report.dataset.sha256, {"identity": identity.get("data_sha256")}),
        "seed": (report.seed, {"config": config.seed}),
    }
    for key, (told, others) in pairs.items():
        for part, value in others.items():
            if value != told:
                yield f"{REPORT}: {key} is '{told}', {RUN} has '{value}' ({part})"


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
    """`model.json`, the audit and the C sources are of the files that are here."""
    digest = run.files[INT8_TFLITE]
    if run.model.file != INT8_TFLITE.rpartition("/")[2]:
        yield f"{MODEL}: is about '{run.model.file}'"
    if run.model.sha256 != digest:
        yield f"{MODEL}: is of another {INT8_TFLITE} (sha256 {run.model.sha256[:12]}…)"
    for role, path in {"int8": INT8_TFLITE, "float": FLOAT_ONNX}.items():
        audited = run.report.audit.models.get(role)
        if audited is None or audited.sha256 != run.files.get(path):
            yield f"{REPORT}: audit.models.{role} is another file than {path}"
    if _HEADER in run.files:
        found = _HEADER_SHA256.search((run.directory / _HEADER).read_text("utf-8", "replace"))
        if found is None or found[1] != digest:
            yield f"{_HEADER}: is of another {INT8_TFLITE}"


# which part of the report a file is the source of: its name there, the file's form, the part
_SOURCES: Mapping[str, tuple[str, Any, Callable[[RunReport], object]]] = {
    AUDIT: ("audit", AuditResult, lambda report: report.audit),
    PARITY: ("parity", tuple[ParityRow, ...], lambda report: report.parity),
    PROOF: ("firmware", FirmwareProof, lambda report: report.firmware),
    QUANTIZATION: ("quantization", Quantization, lambda report: report.quantization),
    ARCH: ("arch", Arch, lambda report: report.arch),
    FRONT: ("search", Front, lambda report: Front(**{f.name: getattr(report.search, f.name) for f in fields(Front)})),
    FINALISTS: ("search.finalists", tuple[Finalist, ...], lambda report: report.search.finalists),
}


def _sources(run: FinishedRun) -> Iterator[str]:
    """What the report tells is what its sources told."""
    for path, (name, form, part_of) in _SOURCES.items():
        part = part_of(run.report)
        if path not in run.files:
            if part:  # no firmware and no finalists need no file
                yield f"{path} is missing, and {REPORT} tells of it"
            continue
        try:
            told = parsed(run.directory, path, form)
        except PipelineError as error:
            yield str(error)
        else:
            lines = _differences(plain(part), plain(told), name)
            yield from (f"{REPORT}: {line}, {path} has another" for line in lines)


def _differences(found: Any, expected: Any, where: str) -> Iterator[str]:
    """`key is value` for each leaf that differs; of lists and other values the whole."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        for key in found:
            yield from _differences(found[key], expected[key], f"{where}.{key}")
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
    except (PipelineError, UnicodeDecodeError, RecursionError):
        yield f"{EVALUATIONS} is not as a run writes it"
        return
    if search.evaluations != len(measured):
        yield f"{REPORT}: search.evaluations is {search.evaluations}, {EVALUATIONS} has {len(measured)}"
    shown = {"search.front": search.front, "search.selected": (search.selected,) if search.selected else ()}
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
            told = about(read_json(run.directory / path))
        except (PipelineError, KeyError, TypeError, IndexError, AttributeError):
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
