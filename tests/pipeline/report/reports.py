"""Reports that the tests of this folder render, and how they read what came out."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from typing import Any

from rich.console import Console, RenderableType

from pipeline.layers import configured
from pipeline.report.run_report import RunReport
from pipeline.values import from_plain, plain

CONFIG = configured({"target": "cortex-m7", "dataset": "cifar10"})

LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

ARCH: dict[str, Any] = {
    "resolution": 32,
    "stem": 16,
    "stages": [
        {"channels": 16, "squeeze_excite": False, "blocks": [{"kernel": 3, "expand": 1}]},
        {
            "channels": 24,
            "squeeze_excite": False,
            "blocks": [{"kernel": 3, "expand": 4}, {"kernel": 5, "expand": 3}],
        },
        {
            "channels": 40,
            "squeeze_excite": True,
            "blocks": [{"kernel": 5, "expand": 4}, {"kernel": 3, "expand": 3}, {"kernel": 3, "expand": 4}],
        },
    ],
    "head": 128,
}

CORRUPTIONS = [
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "pixelate",
]

FIRST_ERROR = [0.25, 0.19, 0.18, 0.09, 0.11, 0.08, 0.09, 0.10]


def sample_footprint(params: int, macs: int, sram_bytes: int = 61_440) -> dict[str, Any]:
    latency = {"low": 61.2, "mid": 83.4, "high": 112.4}
    return {
        "runtime": "tflm",
        "params": params,
        "macs": macs,
        "flash_bytes": 181_248,
        "sram_bytes": sram_bytes,
        "latency_ms": latency,
        "unknown": [],
    }


def sample_front() -> list[dict[str, Any]]:
    points_of_front = [
        (3.1, 0.171, 0.031),
        (5.2, 0.142, 0.036),
        (8.75, 0.121, 0.029),
        (12.345678, 0.104, 0.044),
        (17.9, 0.099, 0.052),
    ]
    return [
        {
            "measured": {
                "arch": ARCH if macs == 12.345678 else {**ARCH, "resolution": 20 + 2 * i},
                "clean_error": error,
                "flatness": [{"perturbation": "gaussian-0.05", "r": r, "low": r - 0.004, "high": r + 0.004}],
            },
            "footprint": sample_footprint(int(12_000 * macs), round(macs * 1e6)),
        }
        for i, (macs, error, r) in enumerate(points_of_front)
    ]


def sample_memory() -> list[dict[str, Any]]:
    rows = [("CONV_2D", "stem", 35_840)]
    for stage, (blocks, live) in enumerate(((1, 49_152), (2, 36_864), (3, 18_432))):
        for block in range(blocks):
            rows += [
                ("CONV_2D", f"stage{stage}.{block}/expand", live),
                ("DEPTHWISE_CONV_2D", f"stage{stage}.{block}/depthwise", live + (2_560 if stage == 0 else 0)),
                ("CONV_2D", f"stage{stage}.{block}/project", int(live * 0.7)),
            ]
            if block:
                rows.append(("ADD", f"stage{stage}.{block}/add", int(live * 0.5)))
    rows += [("CONV_2D", "head", 12_288), ("AVERAGE_POOL_2D", "pool", 8_320), ("FULLY_CONNECTED", "logits", 138)]
    most = max(live for _, _, live in rows)
    return [
        {"op": op, "name": name, "macs": 1000, "params": 100, "live_bytes": live, "peak": live == most}
        for op, name, live in rows
    ]


def report_with_finalists() -> RunReport:
    """A run that trained finalists, and went on with one that is not on the front."""
    report, off = sample_report(), {**ARCH, "stem": 8}
    finalists = [
        {"arch": {**ARCH, "resolution": 24}, "inherited_error": 0.1756, "trained_error": 0.1466},
        {"arch": off, "inherited_error": 0.2136, "trained_error": 0.1376},
    ]
    first = sample_front()[0]
    selected = {**first, "measured": {**first["measured"], "arch": off, "clean_error": 0.2136}}
    search = {**plain(report.search), "finalists": finalists, "selected": selected}
    return sample_report(arch=off, search=search)


def sample_report(**changes: Any) -> RunReport:
    """A run as `pipeline run` would write it; `changes` replace top-level keys."""
    value: dict[str, Any] = {
        "schema": 2,
        "target": "stm32f746",
        "dataset": {"name": "cifar10", "sha256": "d4" * 32, "train": 45_000},
        "seed": 7,
        "arch": ARCH,
        "footprint": sample_footprint(148_312, 12_345_678),
        "budget": {
            "params": 400_000,
            "macs": 20_000_000,
            "flash_bytes": 524_288,
            "sram_bytes": 81_920,
            "latency_ms": 100.0,
        },
        "fits": True,
        "uncounted": [],
        "teacher": None,
        "search": {
            "objective": "flatness",
            "selected": None,
            "evaluations": 96,
            "front": sample_front(),
            "alpha": 0.5,
            "sigmas": [0.05],
            "hypervolume": [0.412, 0.467, 0.489, 0.501, 0.507, 0.508],
            "kendall_tau": [None, 0.41, 0.52, 0.24, 0.61, 0.66],
            "proposer": ["random", "linear", "tree ensemble", "nsga2", "linear", "linear"],
        },
        "quantization": {
            "method": "minmax",
            "calibration_images": 512,
            "validation_images": 5000,
            "float_accuracy": 0.9,
            "attempts": [{"method": "minmax", "accuracy": 0.898, "steps": []}],
        },
        "audit": sample_audit(),
        "parity": [
            {
                "runner": "tflm",
                "max_abs_lsb": 0,
                "mismatches": 0,
                "n": 10_000,
                "top1_agreement": 1.0,
                "bound_lsb": 0,
                "beyond": 0.0,
                "holds": True,
                "first_difference": None,
            },
            {
                "runner": "litert-xnnpack",
                "max_abs_lsb": 1,
                "mismatches": 212,
                "n": 10_000,
                "top1_agreement": 0.9991,
                "bound_lsb": 1,
                "beyond": 0.0,
                "holds": True,
                "first_difference": None,
            },
            {
                "runner": "onnxruntime",
                "max_abs_lsb": 2,
                "mismatches": 431,
                "n": 10_000,
                "top1_agreement": 0.9987,
                "bound_lsb": 2,
                "beyond": 0.0,
                "holds": True,
                "first_difference": None,
            },
        ],
        "firmware": None,
        "memory": sample_memory(),
        "gates": [
            {"name": "fits the budget", "limit": 1.0, "value": 0.834, "passed": True},
            {"name": "accuracy loss", "limit": 0.01, "value": 0.0048, "passed": True},
            {"name": "delta, upper end", "limit": 0.02, "value": 0.0083, "passed": True},
            {"name": "parity", "limit": 0.0, "value": 0.0, "passed": True},
        ],
        "passed": True,
        "warnings": [],
        "artifacts": {
            "model/model.int8.tflite": "a1" * 32,
            "model/model.int8.onnx": "b2" * 32,
            "audit/audit.json": "c3" * 32,
        },
    }
    return from_plain(RunReport, {**value, **changes}, "the sample")


def sample_classifier() -> dict[str, Any]:
    """Each class is right 900 times, and 100 times it is taken for the next one."""
    score = {"images": 1000, "recall": 0.9, "recall_ci95": [0.88, 0.917], "precision": 0.9}
    score |= {"precision_ci95": [0.88, 0.917], "f1": 0.9, "recall_under": {"contrast": 0.4, "zoom_blur": 0.3}}
    return {
        "accuracy_ci95": [0.894, 0.906],
        "balanced_accuracy": 0.9,
        "ci95": [0.89, 0.903],
        "classes": [{"name": name, **score} for name in LABELS],
        "confusion": [[900 if j == i else 100 if j == (i + 1) % 10 else 0 for j in range(10)] for i in range(10)],
        "balanced_error": {"contrast": 0.6, "zoom_blur": 0.7},
        "balanced_mce": None,
        "roc": None,
        "rejection": [{"confidence": 0.9, "share": 0.8, "accuracy": 0.97}],
    }


def sample_audit(**changes: Any) -> dict[str, Any]:
    """An audit of int8 and float, as JSON has it; `changes` replace keys of its robustness."""
    severities = {
        name: {
            "float": [round(first * (1 + 0.55 * s), 4) for s in range(5)],
            "int8": [round(first * (1 + 0.55 * s) + 0.004 * ((s * 7 + i * 3) % 5 - 1), 4) for s in range(5)],
        }
        for i, (name, first) in enumerate(zip(CORRUPTIONS, FIRST_ERROR, strict=True))
    }
    robustness = {
        "source": "generated",
        "images": 10_000,
        "corruptions": CORRUPTIONS,
        "mce": {"float": None, "int8": None},
        "mean_error": {"float": 0.3127, "int8": 0.3184},
        "ci95": {"float": [0.309, 0.316], "int8": [0.315, 0.322]},
        "degradation": {"float": 0.2139, "int8": 0.2148},
        "per_corruption": severities,
        "falls_below": {"accuracy": 0.5, "severity": {}},
        "delta": {"mean": 0.0057, "ci95": [0.0031, 0.0083]},
    }
    return {
        "dataset": "cifar10",
        "seed": 7,
        "models": {
            "int8": {"file": "model.int8.tflite", "sha256": "a1" * 32, "runner": "litert"},
            "float": {"file": "model.float.onnx", "sha256": "e5" * 32, "runner": "onnxruntime"},
        },
        "accuracy": {"float": 0.9012, "onnx": 0.8968, "int8": 0.8964},
        "classifier": sample_classifier(),
        "robustness": {**robustness, **changes},
        "calibration": {},
        "device": {
            "runner": "tflm",
            "images": 1000,
            "disagreement": 0.013,
            "mean_error_fast": 0.322,
            "mean_error_device": 0.324,
        },
    }


HOSTILE = "<script>alert('x')</script>|`rm`*b* $\\frac$ &amp; [a](b)\n# head"


class Page(HTMLParser):
    """Collects what the tests ask about; complains about a tag closed out of order."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.labelled_by: list[str] = []
        self.tags: list[str] = []
        self.alternatives: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                self.references.append(value or "")
            if key == "aria-labelledby":
                self.labelled_by.append(value or "")
            if key == "aria-label":
                self.alternatives.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def said(self) -> str:
        """The text of the page, spaces collapsed."""
        return " ".join(" ".join(self.text).split())


def printed(renderable: RenderableType, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(renderable)
    return out.getvalue()


def failing_report() -> RunReport:
    gates = [
        {"name": "fits the budget", "limit": 1.0, "value": 1.135, "passed": False},
        {
            "name": "min accuracy",
            "limit": 0.9,
            "value": 0.8964,
            "unit": "share",
            "asks": "at least",
            "passed": False,
        },
        {"name": "parity", "limit": 0.0, "value": 0.0, "passed": True},
    ]
    return sample_report(
        gates=gates,
        passed=False,
        fits=False,
        footprint=sample_footprint(148_312, 12_345_678, sram_bytes=93_000),
        warnings=["class 'cat' is never recognised, in 3 test pictures"],
    )


def hostile_report() -> RunReport:
    memory = [{**row, "name": HOSTILE if row["peak"] else row["name"]} for row in sample_memory()]
    gates = [{"name": HOSTILE, "limit": 1.0, "value": 2.0, "passed": False}]
    return sample_report(
        target=HOSTILE,
        dataset={"name": HOSTILE, "sha256": "", "train": 45_000},
        memory=memory,
        gates=gates,
        artifacts={HOSTILE: HOSTILE},
        passed=False,
    )


def firmware_report() -> RunReport:
    core = {
        "core": "cortex-m7",
        "emulator": "QEMU 7.2 mps2-an500",
        "compiler": "gcc 12.2",
        "references": ["integer interpreter"],
        "images": 20,
        "mismatches": 0,
        "first_mismatch": None,
        "instructions": 9_690_000,
        "flash_bytes": {"code": 7_300, "data": 109_300, "total": 116_600},
        "ram_bytes": {"arena": 37_800, "variables": 0, "stack": 500, "total": 38_300},
        "layers": [],
    }
    footprint = {**sample_footprint(100_000, 12_345_678, 37_800), "runtime": "firmware"}
    return sample_report(footprint=footprint, firmware={"cores": [core]})
