from __future__ import annotations

from typing import Any

from reports import (
    CONFIG,
    LABELS,
    Page,
    failing_report,
    firmware_report,
    printed,
    sample_audit,
    sample_front,
    sample_memory,
    sample_report,
)

from pipeline.report.card import render_card
from pipeline.report.page import render_page
from pipeline.report.tables import summary, verdict_panel
from pipeline.values import plain


def test_the_same_report_gives_the_same_bytes_whatever_the_users_matplotlibrc() -> None:
    import matplotlib

    first = render_page(sample_report(), LABELS)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.linewidth": 9}):
        assert render_page(sample_report(), LABELS) == first
    assert render_card(sample_report(), LABELS, CONFIG) == render_card(sample_report(), LABELS, CONFIG)


def test_a_failed_run_names_its_gates_everywhere() -> None:
    text = Page(render_page(failing_report(), LABELS)).said()
    assert "✗ FAIL" in text
    assert "Failed: fits the budget is 1.135, must be ≤ 1; min accuracy is 89.64 %, must be ≥ 90.00 %" in text
    assert "Does not fit the budget" in text
    assert "93 kB 81.92 kB 114 %" in text
    card = render_card(failing_report(), LABELS, CONFIG)
    assert "**FAIL**" in card
    assert "| fits the budget | 1.135 | ≤ 1 | **failed** |" in card
    terminal = printed(verdict_panel(failing_report()))
    assert "✗ FAIL" in terminal
    assert "✗ min accuracy is 89.64 %, must be ≥ 90.00 %" in terminal
    assert "parity" not in terminal
    warned = "class 'cat' is never recognised, in 3 test pictures"
    assert f"Warning: {warned}" in text
    assert warned in card
    assert f"warning: {warned}" in printed(summary(failing_report()))


def test_a_budget_that_bounds_the_firmware_is_not_called_a_runtimes() -> None:
    for report in (sample_report(), firmware_report()):
        counted = report.footprint.runtime == "firmware"
        said, card = Page(render_page(report, LABELS)).said(), render_card(report, LABELS, CONFIG)
        assert ("With the runtime:" in said) == ("runtime's own state" in card) == (not counted)
        assert ("The whole arena: 37.8 kB of 81.92 kB" in said) == ("the firmware's arena" in card) == counted
        assert ("with the C sources in `model/firmware`" in card) == counted
        assert ("with TFLite Micro as the runtime" in card) == (not counted)
        assert ("model/firmware" in printed(summary(report))) == counted


def test_a_run_with_little_to_show_still_has_a_page_and_a_card() -> None:
    searched = plain(sample_report().search)
    one = searched | {"evaluations": 1, "front": sample_front()[3:4], "hypervolume": [0.4]}
    none: dict[str, Any] = searched | {"evaluations": 0, "front": [], "hypervolume": []}
    bare = sample_audit(per_corruption={}, corruptions=[]) | {"device": None}
    for search, memory in ((one, sample_memory()[:1]), (none, [])):
        report = sample_report(search=search, memory=memory, audit=bare, parity=[], gates=[])
        assert Page(render_page(report, LABELS)).open == []
        assert "MODEL" not in render_card(report, LABELS, CONFIG)
        assert printed(summary(report))


def test_what_the_footprint_lacks_is_told_beside_it() -> None:
    lacking = sample_report(uncounted=["scratch of the kernels"])
    said, card = Page(render_page(lacking, LABELS)).said(), render_card(lacking, LABELS, CONFIG)
    assert "of 81.92 kB. Not counted: scratch of the kernels." in said
    assert "runtime's own state. Not counted: scratch of the kernels." in " ".join(card.split())
    assert "not counted: scratch of the kernels" in printed(summary(lacking))
    whole = sample_report()
    for view in (render_page(whole, LABELS), render_card(whole, LABELS, CONFIG), printed(summary(whole))):
        assert "ot counted" not in view
