"""Report: the verdict, for programs (`report.json`) and for people (`report.html`, `MODEL_CARD.md`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from hardware_profiles.profile import HardwareProfile
from pipeline.artifacts import artifacts_in, read_json, write_bytes, write_json
from pipeline.audit.classifier import classifier_record
from pipeline.audit.predictions import PredictionsFile
from pipeline.config import RunConfig
from pipeline.gates import Limits, limit_gates, run_gates, search_warnings, usefulness_warnings
from pipeline.protocol import run_protocol
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
from pipeline.runner import Stage, StageContext
from pipeline.training import LABELS

_INT8, _PROOF = "model/model.int8.tflite", "model/firmware/proof.json"
_QUANTIZATION, _PREDICTIONS = "model/quantization.json", "audit/predictions.npz"
_NEEDS = (
    "search/evaluations.jsonl",
    "search/front.json",
    "search/finalists.json",
    "model/arch.json",
    "model/model.json",
    _QUANTIZATION,
    _INT8,
    "audit/parity.json",
    "audit/audit.json",
    _PREDICTIONS,
    LABELS,
    _PROOF,
)


def _run(context: StageContext) -> None:
    from pipeline.report.card import render_card
    from pipeline.report.page import render_page

    report = _report(context)
    labels = read_json(context.path("model/model.json"))["labels"]
    write_json(context.path("report.json"), report.model_dump(by_alias=True))
    write_bytes(context.path("report.html"), render_page(report, labels).encode())
    write_bytes(context.path("MODEL_CARD.md"), render_card(report, labels, context.config).encode())


def _report(context: StageContext) -> RunReport:
    from export.graph import to_ops
    from export.read_tflite import read_tflite
    from hardware_profiles.footprint import footprint, op_costs, violations
    from hardware_profiles.kernels import uncounted

    path = context.path(_INT8)
    ops = to_ops(read_tflite(path))
    cost = footprint(ops, context.profile, file_bytes=path.stat().st_size)
    audited = read_json(context.path("audit/audit.json"))
    accuracy, robustness = Accuracy(**audited["accuracy"]), Robustness(**audited["robustness"])
    parity = [ParityRecord(**row) for row in read_json(context.path("audit/parity.json"))]
    searched = read_json(context.path("search/front.json"))
    arch = read_json(context.path("model/arch.json"))
    lines = context.path("search/evaluations.jsonl").read_text().splitlines()
    evaluations = [EvaluationRecord.model_validate_json(line) for line in lines]
    stages = [StageSeconds(name=s["name"], seconds=s["seconds"]) for s in read_json(context.path("run.json"))["stages"]]
    proof = context.path(_PROOF)
    firmware = FirmwareRecord(**read_json(proof)) if proof.exists() else None
    answers = PredictionsFile.read(context.path(_PREDICTIONS))
    classifier = classifier_record(answers.predictions["int8"].classes[0], answers.labels, context.data.class_names)
    config = context.config
    gates = run_gates(violations(cost, context.profile.budget), accuracy, classifier, robustness, parity, firmware)
    gates += limit_gates(
        Limits(config.min_accuracy, config.min_recall, config.max_mce, config.max_error),
        accuracy=accuracy.tflite_int8,
        classifier=classifier,
        mce=robustness.mce.int8,
        per_corruption={name: row.int8 for name, row in robustness.per_corruption.items()},
        delta=None,
    )
    judged = min(run_protocol(config).error_images, len(context.data.val))
    warnings = usefulness_warnings(classifier) + search_warnings([e.clean_error for e in evaluations], judged)
    return RunReport(
        target=context.config.target,
        dataset=context.config.dataset,
        seed=context.config.seed,
        arch=arch,
        footprint=footprint_record(cost),
        budget=BudgetRecord(**context.profile.budget.model_dump()),
        fits=not violations(cost, context.profile.budget),
        uncounted=list(uncounted(ops, context.profile.core, context.profile.runtime)),
        teacher=_teacher(context),
        search=SearchRecord(
            evaluations=len(evaluations),
            **searched,
            selected=next((e for e in evaluations if e.arch == arch), None),
            finalists=[FinalistRecord(**f) for f in read_json(context.path("search/finalists.json"))],
            seconds=next((s.seconds for s in stages if s.name == "search"), 0.0),
        ),
        quantization=QuantizationRecord(**read_json(context.path(_QUANTIZATION))),
        accuracy=accuracy,
        classifier=classifier,
        robustness=robustness,
        parity=parity,
        firmware=firmware,
        memory=[
            MemoryRow(op=c.op, name=c.name, macs=c.macs, params=c.params, live_bytes=c.live_bytes, peak=c.peak)
            for c in op_costs(ops, context.profile)
        ],
        host_latency=_host_latency(context) if context.profile.kind == "mobile" else None,
        gates=gates,
        passed=all(gate.passed for gate in gates),
        warnings=warnings,
        artifacts={
            a.path: a.sha256 for a in artifacts_in(context.directory) if a.path.startswith(("model/", "audit/"))
        },
        stages=[s for s in stages if s.name != "report"],
    )


def _teacher(context: StageContext) -> Literal["shipped", "trained"] | None:
    """Whose soft labels the trainings followed."""
    if not context.path(LABELS).exists():
        return None
    return "trained" if context.config.teaches == "train" else "shipped"


def _host_latency(context: StageContext) -> HostLatencyRecord:
    """One thread and all of them, with XNNPACK; one without."""
    from dataclasses import asdict

    from export.host_latency import host_latency

    cores = os.cpu_count() or 1
    ways = dict.fromkeys(((1, True), (cores, True), (1, False)))
    rows = [
        HostLatencyRow(**asdict(host_latency(path, threads, xnnpack)))
        for path in sorted((context.directory / "model").glob("*.tflite"))
        for threads, xnnpack in ways
    ]
    return HostLatencyRecord(cpu=cpu_name(), rows=rows)


def _settings(config: RunConfig, profile: HardwareProfile) -> Mapping[str, Any]:
    limits = {"min_accuracy", "min_recall", "max_mce", "max_error"}
    return {
        "seed": config.seed,
        "profile": profile.model_dump(),
        "limits": config.model_dump(include=limits),
        "images": run_protocol(config).error_images,
    }


STAGE = Stage(
    "report",
    needs=_NEEDS,
    gives=("report.json", "report.html", "MODEL_CARD.md"),
    settings=_settings,
    run=_run,
    version=7,
    names_classes=True,
)
