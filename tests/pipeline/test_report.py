from __future__ import annotations

import html
import io
import itertools
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.console import Console, RenderableType

from pipeline.config import RunConfig
from pipeline.report.budget import budget_rows, requirement
from pipeline.report.card import render_card
from pipeline.report.page import render_page
from pipeline.report.plots import shades
from pipeline.report.quantities import count, duration, interval_ms, milliseconds, percent, plain, points, size
from pipeline.report.tables import audit_table, summary, verdict_panel
from pipeline.results import Gate, RunReport

CONFIG = RunConfig(target="cortex-m7", dataset="cifar10")
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


def _footprint(params: int, macs: int, sram_bytes: int = 61_440) -> dict[str, Any]:
    latency = {"low": 61.2, "mid": 83.4, "high": 112.4}
    return {
        "runtime": "tflm",
        "params": params,
        "macs": macs,
        "flash_bytes": 181_248,
        "sram_bytes": sram_bytes,
        "latency_ms": latency,
    }


def _front() -> list[dict[str, Any]]:
    points_of_front = [
        (3.1, 0.171, 0.031),
        (5.2, 0.142, 0.036),
        (8.75, 0.121, 0.029),
        (12.345678, 0.104, 0.044),
        (17.9, 0.099, 0.052),
    ]
    return [
        {
            "arch": ARCH if macs == 12.345678 else {**ARCH, "resolution": 20 + 2 * i},
            "clean_error": error,
            "flatness": [{"perturbation": "gaussian-0.05", "r": r, "ci95": [r - 0.004, r + 0.004]}],
            "footprint": _footprint(int(12_000 * macs), round(macs * 1e6)),
        }
        for i, (macs, error, r) in enumerate(points_of_front)
    ]


def _memory() -> list[dict[str, Any]]:
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


def sample_report(**changes: Any) -> RunReport:
    """A run as `pipeline run` would write it; `changes` replace top-level keys."""
    severities = {
        name: {
            "float": [round(first * (1 + 0.55 * s), 4) for s in range(5)],
            "int8": [round(first * (1 + 0.55 * s) + 0.004 * ((s * 7 + i * 3) % 5 - 1), 4) for s in range(5)],
        }
        for i, (name, first) in enumerate(zip(CORRUPTIONS, FIRST_ERROR, strict=True))
    }
    value: dict[str, Any] = {
        "schema": 1,
        "target": "stm32f746",
        "dataset": "cifar10",
        "seed": 7,
        "arch": ARCH,
        "footprint": _footprint(148_312, 12_345_678),
        "budget": {
            "params": 400_000,
            "macs": 20_000_000,
            "flash_bytes": 524_288,
            "sram_bytes": 81_920,
            "latency_ms": 100.0,
        },
        "fits": True,
        "search": {
            "evaluations": 96,
            "front": _front(),
            "alpha": 0.5,
            "sigmas": [0.05],
            "hypervolume": [0.412, 0.467, 0.489, 0.501, 0.507, 0.508],
            "kendall_tau": [None, 0.41, 0.52, 0.24, 0.61, 0.66],
            "proposer": ["random", "linear", "tree ensemble", "nsga2", "linear", "linear"],
            "seconds": 1843.2,
        },
        "accuracy": {"float": 0.9012, "onnx": 0.8968, "tflite_int8": 0.8964},
        "robustness": {
            "source": "generated",
            "images": 10_000,
            "corruptions": CORRUPTIONS,
            "mce": {"float": None, "int8": None},
            "mean_error": {"float": 0.3127, "int8": 0.3184},
            "per_corruption": severities,
            "delta": {"mean": 0.0057, "ci95": [0.0031, 0.0083]},
            "device": {
                "runner": "tflm",
                "images": 1000,
                "disagreement": 0.013,
                "mean_error_fast": 0.322,
                "mean_error_device": 0.324,
            },
        },
        "parity": [
            {"runner": "tflm", "max_abs_lsb": 0, "mismatches": 0, "n": 10_000, "top1_agreement": 1.0, "bound_lsb": 0},
            {
                "runner": "litert-xnnpack",
                "max_abs_lsb": 1,
                "mismatches": 212,
                "n": 10_000,
                "top1_agreement": 0.9991,
                "bound_lsb": 1,
            },
            {
                "runner": "onnxruntime",
                "max_abs_lsb": 2,
                "mismatches": 431,
                "n": 10_000,
                "top1_agreement": 0.9987,
                "bound_lsb": 2,
            },
        ],
        "firmware": None,
        "memory": _memory(),
        "gates": [
            {"name": "fits the budget", "limit": 1.0, "value": 0.834, "passed": True},
            {"name": "accuracy loss", "limit": 0.01, "value": 0.0048, "passed": True},
            {"name": "delta, upper end", "limit": 0.02, "value": 0.0083, "passed": True},
            {"name": "parity", "limit": 0.0, "value": 0.0, "passed": True},
        ],
        "passed": True,
        "artifacts": {
            "model/model.int8.tflite": "a1" * 32,
            "model/model.int8.onnx": "b2" * 32,
            "audit/audit.json": "c3" * 32,
        },
        "stages": [
            {"name": "supernet", "seconds": 0.4},
            {"name": "search", "seconds": 1843.2},
            {"name": "finetune", "seconds": 3911.0},
            {"name": "audit", "seconds": 262.5},
        ],
    }
    return RunReport.model_validate({**value, **changes})


HOSTILE = "<script>alert('x')</script>|`rm`*b* $\\frac$ &amp; [a](b)\n# head"


class _Page(HTMLParser):
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


@pytest.fixture(scope="module")
def page() -> _Page:
    return _Page(render_page(sample_report(), LABELS))


def _printed(renderable: RenderableType, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.8964), "89.6 %"),
        (percent(0.8964, 2), "89.64 %"),
        (points(0.0057, 2), "+0.57"),
        (points(-0.0048, 2), "−0.48"),
        (points(-0.00001), "0.0"),
        (size(181_248), "181.2 kB"),
        (size(1_048_576), "1.049 MB"),
        (size(138), "138 B"),
        (size(20_000), "20 kB"),
        (count(12_345_678), "12.35 M"),
        (count(148_312), "148.3 k"),
        (count(10_000), "10,000"),
        (count(20_000_000), "20 M"),
        (milliseconds(83.42), "83.4 ms"),
        (milliseconds(0.5), "0.5 ms"),
        (milliseconds(1234.5), "1,234 ms"),
        (interval_ms(61.2, 112.4), "61.2 to 112 ms"),
        (duration(8.44), "8.4 s"),
        (duration(245.2), "4 min 05 s"),
        (duration(3780), "1 h 03 min"),
        (plain(0.0083), "0.0083"),
        (plain(-0.5), "−0.5"),
        (plain(81_920), "81,920"),
    ],
)
def test_quantities_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("value", "limit", "passed", "expected"),
    [
        (0.5, 1, True, "≤ 1"),
        (1.5, 1, False, "≤ 1"),
        (0.9, 0.8, True, "≥ 0.8"),
        (0.7, 0.8, False, "≥ 0.8"),
        (0, 0, True, "0"),
    ],
)
def test_a_gates_side_follows_from_its_outcome(value: float, limit: float, passed: bool, expected: str) -> None:
    assert requirement(Gate(name="g", limit=limit, value=value, passed=passed)) == expected


def test_a_budget_row_is_the_share_of_the_limit_and_latency_carries_its_interval() -> None:
    rows = {row.resource: row for row in budget_rows(sample_report())}
    assert rows["peak SRAM"].share == pytest.approx(61_440 / 81_920)
    assert rows["latency"].whisker == pytest.approx((0.612, 1.124))
    assert rows["latency"].fits, "the middle of the interval counts"


def test_the_page_opens_with_verdict_model_and_figures(page: _Page) -> None:
    start = page.said().index("✓ PASS")
    opening = page.said()[start : start + 120]
    for fact in (
        "stm32f746 · cifar10",
        "int8 top-1 89.6 %",
        "flash 181.2 kB",
        "SRAM 61.44 kB",
        "latency 61.2 to 112 ms",
    ):
        assert fact in opening
    assert "Failed:" not in page.said()


def test_the_page_tells_every_measurement(page: _Page) -> None:
    text = page.said()
    facts = [
        "4 of 4 passed",
        "accuracy loss 0.0048 ≤ 0.01",
        "148.3 k 400 k 37 %",
        "83.4 ms 100 ms 83 %",
        "float 90.12 %",
        "ONNX int8 89.68 % −0.44",
        "TFLite int8 89.64 % −0.48",
        "31.27 % –",
        "31.84 % –",
        "+0.57 points",
        "95 % interval +0.31 to +0.83",
        "No mCE: not all 15",
        "96 subnets evaluated in 30 min 43 s; 5 on the Pareto front",
        "Peak: stage0.0/depthwise (DEPTHWISE_CONV_2D) with 51.71 kB alive",
        "litert-xnnpack 212 / 10,000 1 1 99.91 %",
        "mean error, fast kernels 32.20 %",
        "mean error, tflm 32.40 %",
        "classified differently 1.30 %",
        "input 32 × 32 × 3 stem 16 channels stage 0, 16 3×3 · 1 stage 1, 24 3×3 · 4 5×5 · 3",
        "Seed 7.",
        "finetune 1 h 05 min",
        "audit/audit.json " + "c3" * 32,
    ]
    assert [fact for fact in facts if fact not in text] == []


def test_the_page_shows_a_mobile_targets_latency_on_the_host_as_the_hosts(page: _Page) -> None:
    row = {"file": "model.int8.tflite", "threads": 1, "xnnpack": True, "median_ms": 0.4321, "p90_ms": 0.5}
    rows = [row, {**row, "xnnpack": False, "median_ms": 12.34, "p90_ms": 15.0}]
    mobile = _Page(render_page(sample_report(host_latency={"cpu": "Some CPU <3", "rows": rows}), LABELS))
    text = mobile.said()
    assert "Some CPU <3, one image at a time. Not the target's latency" in text
    assert "model.int8.tflite XNNPACK 1 0.432 ms 0.5 ms" in text
    assert "model.int8.tflite built in 1 12.3 ms 15 ms" in text
    assert mobile.open == []
    assert "LiteRT on this computer" not in page.said()


def test_the_heat_map_shows_float_int8_and_difference_of_each_severity(page: _Page) -> None:
    # gaussian noise: float 0.25 * (1, 1.55, 2.1, 2.65, 3.2); int8 adds 0.004 * (-1, 1, 3, 0, 2)
    row = "gaussian noise 25.0 38.8 52.5 66.2 80.0 24.6 39.1 53.7 66.2 80.8 −0.4 +0.4 +1.2 0.0 +0.8"
    assert row in page.said()


def test_heat_map_colours_keep_their_text_readable_and_put_white_at_no_difference() -> None:
    ramps: dict[Literal["error", "difference"], list[float]] = {
        "error": [i / 200 for i in range(201)],
        "difference": [(i - 100) / 500 for i in range(201)],
    }
    for scale, values in ramps.items():
        for background, ink in shades(values, scale):
            channels = [int(background[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            lit = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
            luminance = 0.2126 * lit[0] + 0.7152 * lit[1] + 0.0722 * lit[2]
            text = 1.0 if ink == "#fff" else 0.0056  # of #111
            assert (max(text, luminance) + 0.05) / (min(text, luminance) + 0.05) >= 4, (scale, background)
    better, same, worse = (background for background, _ in shades([-0.1, 0.0, 0.1], "difference"))
    assert same == "#f7f6f6"
    assert int(better[5:], 16) > int(better[1:3], 16), "better is blue"
    assert int(worse[1:3], 16) > int(worse[5:], 16), "worse is red"


def test_the_plots_say_in_words_what_they_show(page: _Page) -> None:
    spoken = " ".join(page.alternatives)
    for words in (
        "The chosen subnet has 12.35 M MACs and a clean error of 10.4 %",
        "Hypervolume over 6 iterations, from 0.412 to 0.508",
        "95 % interval +0.31 to +0.83",
        "the SRAM limit is 81.92 kB. The peak is stage0.0/depthwise (DEPTHWISE_CONV_2D) with 51.71 kB.",
    ):
        assert words in spoken
    assert page.tags.count("svg") == 4
    assert "image" not in page.tags, "plots are drawn, not bitmaps"


def test_the_page_needs_nothing_from_outside(page: _Page) -> None:
    source = render_page(sample_report(), LABELS)
    assert not re.search(r"https?:|@import|url\((?!#)", source)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert all(reference.startswith("#") for reference in page.references)


def test_the_page_is_well_formed_and_its_ids_are_unique(page: _Page) -> None:
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {reference[1:] for reference in page.references} | set(page.labelled_by) <= set(page.ids)
    clips = set(re.findall(r"url\(#([^)]+)\)", render_page(sample_report(), LABELS)))
    assert clips <= set(page.ids)


def test_plots_take_the_pages_colours_so_that_dark_mode_can_be_read() -> None:
    source = render_page(sample_report(), LABELS)
    svg = "".join(re.findall(r"<svg.*?</svg>", source, re.S))
    used = set(re.findall(r"var\(--(\w+)\)", svg))
    assert used == {"ink", "muted", "line", "accent", "peak"}
    assert not re.search(r"fill: #(000000|ffffff)|#0\d0\d0\d", svg)


def test_the_same_report_gives_the_same_bytes_whatever_the_users_matplotlibrc() -> None:
    import matplotlib

    first = render_page(sample_report(), LABELS)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.linewidth": 9}):
        assert render_page(sample_report(), LABELS) == first
    assert render_card(sample_report(), LABELS, CONFIG) == render_card(sample_report(), LABELS, CONFIG)


def _failing() -> RunReport:
    gates = [
        {"name": "fits the budget", "limit": 1.0, "value": 1.135, "passed": False},
        {"name": "min accuracy", "limit": 0.9, "value": 0.8964, "passed": False},
        {"name": "parity", "limit": 0.0, "value": 0.0, "passed": True},
    ]
    return sample_report(
        gates=gates, passed=False, fits=False, footprint=_footprint(148_312, 12_345_678, sram_bytes=93_000)
    )


def test_a_failed_run_names_its_gates_everywhere() -> None:
    text = _Page(render_page(_failing(), LABELS)).said()
    assert "✗ FAIL" in text
    assert "Failed: fits the budget is 1.135, must be ≤ 1; min accuracy is 0.8964, must be ≥ 0.9" in text
    assert "Does not fit the budget" in text
    assert "93 kB 81.92 kB 114 %" in text
    card = render_card(_failing(), LABELS, CONFIG)
    assert "**FAIL**" in card
    assert "| fits the budget | 1.135 | ≤ 1 | **failed** |" in card
    terminal = _printed(verdict_panel(_failing()))
    assert "✗ FAIL" in terminal
    assert "✗ min accuracy is 0.8964, must be ≥ 0.9" in terminal
    assert "parity" not in terminal


def _hostile() -> RunReport:
    memory = [{**row, "name": HOSTILE if row["peak"] else row["name"]} for row in _memory()]
    gates = [{"name": HOSTILE, "limit": 1.0, "value": 2.0, "passed": False}]
    return sample_report(
        target=HOSTILE, dataset=HOSTILE, memory=memory, gates=gates, artifacts={HOSTILE: HOSTILE}, passed=False
    )


def test_names_cannot_become_markup_on_the_page() -> None:
    source = render_page(_hostile(), [HOSTILE])
    parsed = _Page(source)
    assert "script" not in parsed.tags
    assert parsed.open == []
    assert "<script>alert('x')</script>" in "".join(parsed.text)
    assert html.escape("<script>alert") in source


def test_names_cannot_become_markup_in_the_card() -> None:
    card = render_card(_hostile(), [HOSTILE], CONFIG)
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\.", "", card))
    assert "<script" not in outside_code
    assert "\n# head" not in card, "a line break in a name starts no heading"
    columns = 0
    for before, line in itertools.pairwise(card.splitlines()):
        if line.startswith("|"):
            here = len(re.findall(r"(?<!\\)\|", line))
            columns = columns if before.startswith("|") else here
            assert here == columns, line


def test_names_are_not_read_as_rich_markup() -> None:
    report = sample_report(target="[red]x[/]", dataset="[/]")
    assert "[red]x[/] · [/]" in _printed(summary(report))
    alone = audit_table(
        "[bold]m[/]", None, {"model": 0.5}, {"model": 0.5}, {"model": None}, {"[x]": {"model": [0.5] * 5}}, None
    )
    assert "[bold]m[/]" in _printed(alone)
    assert "[x]" in _printed(alone)


def test_the_card_tells_input_robustness_limits_and_files() -> None:
    card = render_card(sample_report(), LABELS, CONFIG)
    facts = [
        "int8, NHWC, 1 × 32 × 32 × 3",
        "q = pixel − 128",
        "scale 1/128, zero point 0",
        "method `area`",
        "airplane, automobile, bird, cat",
        "| TFLite int8 | 89.64 % |",
        "| mCE | null | null |",
        "| mean error | 31.27 % | 31.84 % |",
        "Source of the corrupted images: generated",
        "10,000 test images under 8 corruptions",
        "+0.57 percentage points",
        "| peak SRAM | 61.44 kB | 81.92 kB | 75 % |",
        "| latency | 83.4 ms (61.2 to 112 ms) | 100 ms | 83 % |",
        "SAM",
        "Seed: 7",
        "The test set was opened once",
        "CIFAR-10 states no licence",
        "7 of the 15 standard corruptions did not run",
        "`glass_blur`, `motion_blur`, `snow`, `frost`, `fog`, `elastic_transform`, `jpeg_compression`",
        "| `gaussian_noise` | 24.6 | 39.1 | 53.7 | 66.2 | 80.8 |",
        "| `model/model.int8.tflite` | `" + "a1" * 32 + "` |",
    ]
    assert [fact for fact in facts if fact not in card] == []


def _with_firmware() -> RunReport:
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
    footprint = {**_footprint(100_000, 12_345_678, 37_800), "runtime": "firmware"}
    return sample_report(footprint=footprint, firmware={"cores": [core]})


def test_a_budget_that_bounds_the_firmware_is_not_called_a_runtimes() -> None:
    for report in (sample_report(), _with_firmware()):
        counted = report.footprint.runtime == "firmware"
        said, card = _Page(render_page(report, LABELS)).said(), render_card(report, LABELS, CONFIG)
        assert ("With the runtime:" in said) == ("runtime's own state" in card) == (not counted)
        assert ("The whole arena: 37.8 kB of 81.92 kB" in said) == ("the firmware's arena" in card) == counted
        assert ("with the C sources in `model/firmware`" in card) == counted
        assert ("with TFLite Micro as the runtime" in card) == (not counted)
        assert ("model/firmware" in _printed(summary(report))) == counted


def test_the_card_tells_what_the_firmware_was_measured_to_take() -> None:
    card = " ".join(render_card(_with_firmware(), LABELS, CONFIG).split())
    assert "flash 116.6 kB, RAM 38.3 kB (arena 37.8 kB, stack 500 B), 9.69 M instructions for one image" in card
    assert "0 of 20 inputs differ from integer interpreter" in card


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "sharpness-aware minimization (SAM) on training images, epochs: 5, from the supernet's weights."),
        ({"preset": "release"}, "SGD, and sharpness-aware minimization (SAM) in the last 33 % on training images"),
        ({"optimizer": "sgd", "augment": "augmix"}, "SGD without SAM on training images, with AugMix, epochs: 5"),
        ({"finetune_epochs": 0}, "none; the supernet's weights with batch norms recalibrated"),
        ({"protocol": "paper"}, "adaptive SAM (ASAM)"),
    ],
)
def test_the_card_tells_how_the_net_was_fine_tuned(changes: dict[str, Any], said: str) -> None:
    assert f"Fine-tuning: {said}" in render_card(sample_report(), LABELS, CONFIG.model_copy(update=changes))


def _quantized(method: str, steps: Sequence[str] = ()) -> dict[str, Any]:
    attempts = [
        {"method": "minmax", "accuracy": 0.87, "steps": []},
        {"method": "post-training", "accuracy": 0.88, "steps": [{"name": name, "error": 0.1} for name in steps]},
        {"method": "qat", "accuracy": 0.89, "steps": [{"name": name, "error": 0.1} for name in steps]},
    ]
    return {"method": method, "validation_images": 5000, "float_accuracy": 0.9, "attempts": attempts}


_STEPS = ("minmax", "equalization", "mse of a", "percentile-99.9 of b", "bias correction")
_POST_TRAINING = (
    "ranges from 512 training images (least and greatest value, equalization, narrower for 2 groups of tensors, "
    "bias correction)"
)


@pytest.mark.parametrize(
    ("method", "steps", "said"),
    [
        ("minmax", _STEPS, "ranges from 512 training images (least and greatest value)."),
        ("post-training", _STEPS, f"{_POST_TRAINING}."),
        ("post-training", ("minmax",), "ranges from 512 training images (least and greatest value)."),
        (
            "qat",
            _STEPS,
            f"{_POST_TRAINING}, then quantization-aware training of the weights on training images, with SAM, "
            "epochs: 3; the ranges stayed.",
        ),
    ],
)
def test_the_card_tells_how_the_net_became_int8(method: str, steps: Sequence[str], said: str) -> None:
    config = CONFIG.model_copy(update={"finetune_epochs": 10})
    card = render_card(sample_report(quantization=_quantized(method, steps)), LABELS, config)
    assert f"Quantization: int8, per-channel weights, {said}\n" in card


def test_the_card_of_an_older_report_does_not_guess_how_the_net_became_int8() -> None:
    assert "Quantization: int8, per-channel weights.\n" in render_card(sample_report(), LABELS, CONFIG)


def test_the_card_says_only_what_holds_for_other_data_and_a_smaller_audit() -> None:
    fifteen = [
        *CORRUPTIONS,
        "glass_blur",
        "motion_blur",
        "snow",
        "frost",
        "fog",
        "elastic_transform",
        "jpeg_compression",
    ]
    value = sample_report().robustness.model_dump()
    value |= {"corruptions": [*fifteen, "saturate"], "mce": {"float": 0.3, "int8": 0.31}, "images": 500, "device": None}
    full = render_card(sample_report(dataset="digits", robustness=value), LABELS, CONFIG)
    assert "CIFAR" not in full
    assert "All 15 standard corruptions ran" in full
    assert "no part of mCE: `saturate`" in full
    assert "| mCE | 30.00 % | 31.00 % |" in full
    assert "device's own" not in full
    assert "500 of the 10,000" in render_card(sample_report(robustness=value), LABELS, CONFIG)


def test_the_summary_fits_a_terminal_and_a_log() -> None:
    text = _printed(summary(sample_report(), Path("runs/a")))
    lines = text.splitlines()
    assert len(lines) <= 22
    assert max(map(len, lines)) <= 100
    facts = [
        "r32 16 16:k3e1 24:k3e4-k5e3 40se:k5e4-k3e3-k3e4 128",
        "███████████████░░░░░  75 %  61.44 kB of 81.92 kB",
        "61.2 to 112 ms",
        "90.12 %    89.68 %      89.64 %",
        "31.27 %",
        "31.84 %",
        "+0.57 points, 95 % interval +0.31 to +0.83",
        "✓  parity",
        "runs/a/report.html",
        "runs/a/model/model.int8.tflite",
    ]
    assert [fact for fact in facts if fact not in text] == []
    assert "\x1b" not in text


def test_the_summary_marks_a_failed_gate_and_a_broken_limit() -> None:
    text = _printed(summary(_failing()))
    assert "✗  fits the budget" in text
    assert "████████████████████  114 %  93 kB of 81.92 kB" in text


def test_the_audit_table_has_a_row_per_corruption_with_baseline_and_difference() -> None:
    errors = {"fog": {"model": [0.1, 0.2, 0.3, 0.4, 0.5], "baseline": [0.1, 0.1, 0.3, 0.3, 0.3]}}
    table = audit_table(
        "a.tflite",
        "b.tflite",
        {"model": 0.9, "baseline": 0.88},
        {"model": 0.3, "baseline": 0.22},
        {"model": None, "baseline": None},
        errors,
        (0.08, (0.05, 0.11)),
    )
    text = " ".join(_printed(table, width=80).split())
    assert "fog 30.0 22.0 +8.0 10.0 20.0 30.0 40.0 50.0" in text
    assert "a.tflite 90.00 % 30.00 % – b.tflite 88.00 % 22.00 % –" in text
    assert "+8.00 points, 95 % interval +5.00 to +11.00" in text


def test_the_audit_table_of_one_model_has_no_baseline() -> None:
    text = _printed(
        audit_table(
            "m",
            None,
            {"model": 0.9},
            {"model": 0.3},
            {"model": 0.31},
            {"fog": {"model": [0.1, 0.2, 0.3, 0.4, 0.5]}},
            None,
        )
    )
    assert "baseline" not in text
    assert "31.00 %" in text
    assert "fog 30.0 10.0 20.0 30.0 40.0 50.0" in " ".join(text.split())


def test_a_run_with_little_to_show_still_has_a_page_and_a_card() -> None:
    searched = sample_report().search.model_dump()
    one = searched | {"evaluations": 1, "front": _front()[3:4], "hypervolume": [0.4], "seconds": 1.0}
    none: dict[str, Any] = searched | {"evaluations": 0, "front": [], "hypervolume": [], "seconds": 0.0}
    bare = sample_report().robustness.model_dump() | {
        "per_corruption": {},
        "corruptions": [],
        "device": None,
        "mean_error": {"float": None, "int8": None},
    }
    for search, memory in ((one, _memory()[:1]), (none, [])):
        report = sample_report(search=search, memory=memory, robustness=bare, parity=[], gates=[], stages=[])
        assert _Page(render_page(report, LABELS)).open == []
        assert "MODEL" not in render_card(report, LABELS, CONFIG)
        assert "–" in _printed(summary(report))


def test_plots_leave_out_a_limit_that_would_squeeze_them() -> None:
    near = render_page(sample_report(), LABELS)
    budget = {"params": 10**9, "macs": 10**9, "flash_bytes": 10**9, "sram_bytes": 10**9, "latency_ms": 1e6}
    far = render_page(sample_report(budget=budget), LABELS)
    assert near.count(">SRAM limit 81.92 kB<") == 1
    assert ">SRAM limit" not in far
    assert near.count(">limit</text>") == 1
    assert ">limit</text>" not in far
