"""Report: the verdict, for programs (`report.json`) and for people (`report.html`, `MODEL_CARD.md`)."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Literal

from export.write.package import possible_files
from hardware_profiles.profile import HardwareProfile
from pipeline.audits.classifier import classifier_record
from pipeline.audits.predictions import PredictionsFile
from pipeline.config import RunConfig
from pipeline.files import read_json, write_bytes, write_json
from pipeline.firmware_proof import ELF
from pipeline.gates import limit_gates, run_gates, search_warnings, usefulness_warnings
from pipeline.provenance import cpu_name
from pipeline.records import footprint_record
from pipeline.results import (
    Accuracy,
    BudgetRecord,
    EvaluationRecord,
    FinalistRecord,
    FirmwareRecord,
    HostLatencyRecord,
    HostLatencyRow,
    MemoryRow,
    ParityRecord,
    QuantizationRecord,
    Robustness,
    RunReport,
    SearchRecord,
    StageSeconds,
)
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
    RUN,
    WEIGHTS,
)
from pipeline.runs.manifest import artifacts_in
from pipeline.runs.stage import Stage, StageContext
from pipeline.searching import Judging
from pipeline.trust.environment import environment


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
    labels = read_json(context.path(MODEL))["labels"]
    write_json(context.path(REPORT), report.model_dump(by_alias=True))
    write_json(context.path(ENVIRONMENT), asdict(environment()))
    write_bytes(context.path(PAGE), render_page(report, labels).encode())
    write_bytes(context.path(CARD), render_card(report, labels, context.settings.config).encode())


def _report(context: StageContext[Reporting]) -> RunReport:
    from export.graph import to_ops
    from export.read_tflite import read_tflite
    from hardware_profiles.footprint import footprint, op_costs, violations
    from hardware_profiles.kernels import uncounted

    path = context.path(INT8_TFLITE)
    ops = to_ops(read_tflite(path))
    cost = footprint(ops, context.settings.profile, file_bytes=path.stat().st_size)
    audited = read_json(context.path(AUDIT))
    accuracy, robustness = Accuracy(**audited["accuracy"]), Robustness(**audited["robustness"])
    parity = [ParityRecord(**row) for row in read_json(context.path(PARITY))]
    searched = read_json(context.path(FRONT))
    arch = read_json(context.path(ARCH))
    lines = context.path(EVALUATIONS).read_text().splitlines()
    evaluations = [EvaluationRecord.model_validate_json(line) for line in lines]
    stages = [StageSeconds(name=s["name"], seconds=s["seconds"]) for s in read_json(context.directory / RUN)["stages"]]
    proof = context.path(PROOF)
    firmware = FirmwareRecord(**read_json(proof)) if proof.exists() else None
    labels = read_json(context.path(MODEL))["labels"]
    answers = PredictionsFile.read(context.path(PREDICTIONS))
    classifier = classifier_record(answers.predictions["int8"].classes[0], answers.labels, labels)
    config = context.settings.config
    over = violations(cost, context.settings.profile.budget)
    gates = run_gates(over, accuracy, classifier, robustness, parity, firmware)
    gates += limit_gates(
        config.gates,
        accuracy=accuracy.tflite_int8,
        classifier=classifier,
        mce=robustness.mce.int8,
        per_corruption={name: row.int8 for name, row in robustness.per_corruption.items()},
    )
    judged = min(context.settings.judging.images, len(context.data.val))
    warnings = usefulness_warnings(classifier) + search_warnings([e.clean_error for e in evaluations], judged)
    return RunReport(
        target=context.settings.config.target,
        dataset=context.settings.config.data.dataset,
        seed=context.settings.config.seed,
        arch=arch,
        footprint=footprint_record(cost),
        budget=BudgetRecord(**context.settings.profile.budget.model_dump()),
        fits=not over,
        uncounted=list(uncounted(ops, context.settings.profile.core, context.settings.profile.runtime)),
        teacher=_teacher(context),
        search=SearchRecord(
            evaluations=len(evaluations),
            **searched,
            selected=next((e for e in evaluations if e.arch == arch), None),
            finalists=[FinalistRecord(**f) for f in read_json(context.path(FINALISTS))],
            seconds=next((s.seconds for s in stages if s.name == "search"), 0.0),
        ),
        quantization=QuantizationRecord(**read_json(context.path(QUANTIZATION))),
        accuracy=accuracy,
        classifier=classifier,
        robustness=robustness,
        parity=parity,
        firmware=firmware,
        memory=[
            MemoryRow(op=c.op, name=c.name, macs=c.macs, params=c.params, live_bytes=c.live_bytes, peak=c.peak)
            for c in op_costs(ops, context.settings.profile)
        ],
        host_latency=_host_latency(context) if context.settings.profile.kind == "mobile" else None,
        gates=gates,
        passed=all(gate.passed for gate in gates),
        warnings=warnings,
        artifacts={
            a.path: a.sha256 for a in artifacts_in(context.directory) if a.path.startswith(("model/", "audit/"))
        },
        stages=[s for s in stages if s.name != "report"],
    )


def _teacher(context: StageContext[Reporting]) -> Literal["shipped", "trained"] | None:
    """Whose soft labels the trainings followed."""
    if not context.path(LABELS).exists():
        return None
    return "trained" if context.settings.config.supernet.teacher == "train" else "shipped"


def _host_latency(context: StageContext[Reporting]) -> HostLatencyRecord:
    """One thread and all of them, with XNNPACK; one without."""
    from export.run.host_latency import host_latency

    cores = os.cpu_count() or 1
    ways = dict.fromkeys(((1, True), (cores, True), (1, False)))
    rows = [
        HostLatencyRow(**asdict(host_latency(path, threads, xnnpack)))
        for path in sorted((context.directory / "model").glob("*.tflite"))
        for threads, xnnpack in ways
    ]
    return HostLatencyRecord(cpu=cpu_name(), rows=rows)


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
