"""Report: the verdict, for programs (`report.json`) and for people (`report.html`, `MODEL_CARD.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from export.write.package import possible_files
from flatnas.search.measured import Evaluation
from flatnas.space.arch import Arch
from hardware_profiles.profile import HardwareProfile
from pipeline.audits.result import AuditResult
from pipeline.config import RunConfig
from pipeline.files import write_bytes
from pipeline.firmware_proof import ELF
from pipeline.gates import run_gates, search_warnings, usefulness_warnings
from pipeline.report.run_report import DatasetFacts, RunReport
from pipeline.results.firmware import FirmwareProof
from pipeline.results.model_facts import ModelFacts
from pipeline.results.parity import ParityRow
from pipeline.results.quantization import Quantization
from pipeline.results.search import Finalist, Front, Search
from pipeline.runs.layout import (
    ARCH,
    AUDIT,
    CARD,
    DYNAMIC_TFLITE,
    ENVIRONMENT,
    EVALUATIONS,
    FINALISTS,
    FIRMWARE,
    FLOAT16_TFLITE,
    FLOAT_ONNX,
    FLOAT_TFLITE,
    FRONT,
    INT8_ONNX,
    INT8_TFLITE,
    LABELS,
    MODEL,
    PAGE,
    PARITY,
    PREDICTIONS,
    PROOF,
    QUANTIZATION,
    REPORT,
    WEIGHTS,
)
from pipeline.runs.manifest import artifacts_in
from pipeline.runs.stage import Stage, StageContext
from pipeline.searching import Judging
from pipeline.trust.environment import environment
from pipeline.values import read_lines, read_value, write_value


@dataclass(frozen=True, slots=True)
class Reporting:
    """The report tells all that was asked."""

    config: RunConfig
    profile: HardwareProfile
    judging: Judging


def _run(context: StageContext[Reporting]) -> None:
    from pipeline.report.card import render_card
    from pipeline.report.page import render_page

    report = _report(context)
    labels = read_value(ModelFacts, context.path(MODEL)).labels
    write_value(context.path(REPORT), report)
    write_value(context.path(ENVIRONMENT), environment())
    write_bytes(context.path(PAGE), render_page(report, labels).encode())
    write_bytes(context.path(CARD), render_card(report, labels, context.settings.config).encode())


def _report(context: StageContext[Reporting]) -> RunReport:
    from export.read_tflite import read_tflite
    from export.to_ops import to_ops
    from hardware_profiles.cost.libraries import uncounted
    from hardware_profiles.footprint import footprint, op_costs, plan_for, violations

    config, profile = context.settings.config, context.settings.profile
    path = context.path(INT8_TFLITE)
    ops = to_ops(read_tflite(path))
    plan = plan_for(ops, profile, profile.runtime)
    cost = footprint(ops, profile, file_bytes=path.stat().st_size, plan=plan)
    over = violations(cost, profile.budget)
    audited = read_value(AuditResult, context.path(AUDIT))
    parity = read_value(tuple[ParityRow, ...], context.path(PARITY))
    proof = context.path(PROOF)
    firmware = read_value(FirmwareProof, proof) if proof.exists() else None
    gates = run_gates(over, audited, parity, firmware, config.gates)
    search = _search(context)
    errors = [e.clean_error for e in read_lines(Evaluation, context.path(EVALUATIONS))]
    assert audited.classifier is not None
    judged = min(context.settings.judging.images, len(context.data.val))
    artifacts = {a.path: a.sha256 for a in artifacts_in(context.directory) if a.path.startswith(("model/", "audit/"))}
    return RunReport(
        target=config.target,
        dataset=DatasetFacts(config.data.dataset, context.data.content_sha256, len(context.data.train)),
        seed=config.seed,
        arch=read_value(Arch, context.path(ARCH)),
        footprint=cost,
        budget=profile.budget.model_dump(),
        fits=not over,
        uncounted=uncounted(ops, profile.core, profile.runtime),
        teacher=_teacher(context),
        search=search,
        quantization=read_value(Quantization, context.path(QUANTIZATION)),
        audit=audited,
        parity=parity,
        firmware=firmware,
        memory=tuple(op_costs(ops, plan)),
        gates=tuple(gates),
        passed=all(gate.passed for gate in gates),
        warnings=(*usefulness_warnings(audited.classifier), *search_warnings(errors, judged)),
        artifacts=artifacts,
    )


def _search(context: StageContext[Reporting]) -> Search:
    arch = read_value(Arch, context.path(ARCH))
    evaluations = read_lines(Evaluation, context.path(EVALUATIONS))
    front = read_value(Front, context.path(FRONT))
    return Search(
        objective=front.objective,
        alpha=front.alpha,
        sigmas=front.sigmas,
        front=front.front,
        hypervolume=front.hypervolume,
        kendall_tau=front.kendall_tau,
        proposer=front.proposer,
        evaluations=len(evaluations),
        selected=next((e for e in evaluations if e.arch == arch), None),
        finalists=read_value(tuple[Finalist, ...], context.path(FINALISTS)),
    )


def _teacher(context: StageContext[Reporting]) -> Literal["shipped", "trained"] | None:
    """Whose soft labels the trainings followed."""
    if not context.path(LABELS).exists():
        return None
    return "trained" if context.settings.config.supernet.teacher == "train" else "shipped"


STAGE = Stage(
    "report",
    reads=(
        *(f"{FIRMWARE}/{name}" for name in (*possible_files(), ELF)),
        LABELS,
        EVALUATIONS,
        FRONT,
        FINALISTS,
        ARCH,
        WEIGHTS,
        MODEL,
        QUANTIZATION,
        FLOAT_ONNX,
        INT8_ONNX,
        INT8_TFLITE,
        FLOAT_TFLITE,
        FLOAT16_TFLITE,
        DYNAMIC_TFLITE,
        PROOF,
        PARITY,
        AUDIT,
        PREDICTIONS,
    ),
    writes=(REPORT, PAGE, CARD, ENVIRONMENT),
    settings=Reporting,
    run=_run,
)
