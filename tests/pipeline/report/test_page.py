from __future__ import annotations

import html
import json
import re
from typing import Literal

import pytest
from reports import HOSTILE, LABELS, Page, hostile_report, report_with_finalists, sample_report

from pipeline.commands.run import read_report
from pipeline.models import released_models
from pipeline.report.page import render_page
from pipeline.report.plots import shades


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_page(sample_report(), LABELS))


def test_the_page_opens_with_verdict_model_and_figures(page: Page) -> None:
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


def test_the_page_tells_of_finalists_and_rings_a_net_that_is_not_on_the_front() -> None:
    content = render_page(report_with_finalists(), LABELS)
    assert "24 × 24 17.6 % 14.7 % 32 × 32 21.4 % 13.8 %" in Page(content).said()
    assert "The chosen subnet has 3.1 M MACs and a clean error of 21.4 %" in content


def test_the_page_tells_every_measurement(page: Page) -> None:
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
        "96 subnets evaluated; 5 on the Pareto front",
        "Peak: stage0.0/depthwise (DEPTHWISE_CONV_2D) with 51.71 kB alive",
        "litert-xnnpack 212 / 10,000 1 1 99.91 %",
        "mean error, XNNPACK 32.20 %",
        "mean error, tflm 32.40 %",
        "classified differently 1.30 %",
        "input 32 × 32 × 3 stem 16 channels stage 0, 16 3×3 · 1 stage 1, 24 3×3 · 4 5×5 · 3",
        "audit/audit.json " + "c3" * 32,
    ]
    assert [fact for fact in facts if fact not in text] == []


def test_the_page_tells_each_class_and_what_it_is_taken_for(page: Page) -> None:
    said = page.said()
    assert "Balanced accuracy 90.00 %, 95 % interval 89.0 % to 90.3 %" in said
    assert "cat 1,000 90.0 % (88.0 to 91.7) 90.0 % (88.0 to 91.7) 90.0 % 30.0 % under zoom blur" in said
    assert "cat 0 0 0 900 100 0 0 0 0 0 deer" in said  # a row of the matrix
    assert "90 % keeps 80 %, right 97.0 %" in said


def test_a_page_is_the_same_on_every_computer(page: Page) -> None:
    assert "this computer" not in page.said()
    assert "seconds" not in page.said()


def test_the_heat_map_shows_float_int8_and_difference_of_each_severity(page: Page) -> None:
    # gaussian noise: float 0.25 * (1, 1.55, 2.1, 2.65, 3.2); int8 adds 0.004 * (-1, 1, 3, 0, 2)
    row = "gaussian noise 25.0 38.8 52.5 66.2 80.0 24.6 39.1 53.7 66.2 80.8 −0.4 +0.4 +1.2 0.0 +0.8"
    assert row in page.said()


@pytest.mark.parametrize("name", released_models())
def test_the_page_of_a_produced_report_tells_its_figures(name: str) -> None:
    directory = released_models()[name]
    report = json.loads((directory / "report.json").read_text())
    labels = json.loads((directory / "model" / "model.json").read_text())["labels"]
    page = Page(render_page(read_report(directory), labels))
    said = page.said()
    assert page.open == []
    assert ("✓ PASS" if report["passed"] else "✗ FAIL") in said
    assert f"int8 top-1 {100 * report['audit']['accuracy']['int8']:.1f} %" in said
    for corruption, errors in report["audit"]["robustness"]["per_corruption"].items():
        rates = " ".join(f"{100 * error:.1f}" for role in ("float", "int8") for error in errors[role])
        assert f"{corruption.replace('_', ' ')} {rates}" in said
    for path, digest in report["artifacts"].items():
        assert f"{path} {digest}" in said


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


def test_the_plots_say_in_words_what_they_show(page: Page) -> None:
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


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    source = render_page(sample_report(), LABELS)
    assert not re.search(r"https?:|@import|url\((?!#)", source)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert all(reference.startswith("#") for reference in page.references)


def test_the_page_is_well_formed_and_its_ids_are_unique(page: Page) -> None:
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


def test_names_cannot_become_markup_on_the_page() -> None:
    source = render_page(hostile_report(), [HOSTILE])
    parsed = Page(source)
    assert "script" not in parsed.tags
    assert parsed.open == []
    assert "<script>alert('x')</script>" in "".join(parsed.text)
    assert html.escape("<script>alert") in source


def test_plots_leave_out_a_limit_that_would_squeeze_them() -> None:
    near = render_page(sample_report(), LABELS)
    budget = {"params": 10**9, "macs": 10**9, "flash_bytes": 10**9, "sram_bytes": 10**9, "latency_ms": 1e6}
    far = render_page(sample_report(budget=budget), LABELS)
    assert near.count(">SRAM limit 81.92 kB<") == 1
    assert ">SRAM limit" not in far
    assert near.count(">limit</text>") == 1
    assert ">limit</text>" not in far
