from __future__ import annotations

from pathlib import Path

from reports import failing_report, printed, sample_report

from pipeline.report.tables import audit_table, host_latency_table, summary
from pipeline.runs.timings import HostLatency, Timings


def test_names_are_not_read_as_rich_markup() -> None:
    report = sample_report(target="[red]x[/]", dataset={"name": "[/]", "sha256": "", "train": 45_000})
    assert "[red]x[/] · [/]" in printed(summary(report))
    alone = audit_table(
        "[bold]m[/]", None, {"model": 0.5}, {"model": 0.5}, {"model": None}, {"[x]": {"model": [0.5] * 5}}, None
    )
    assert "[bold]m[/]" in printed(alone)
    assert "[x]" in printed(alone)


def test_the_summary_fits_a_terminal_and_a_log() -> None:
    text = printed(summary(sample_report(), Path("runs/a")))
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
    text = printed(summary(failing_report()))
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
    text = " ".join(printed(table, width=80).split())
    assert "fog 30.0 22.0 +8.0 10.0 20.0 30.0 40.0 50.0" in text
    assert "a.tflite 90.00 % 30.00 % – b.tflite 88.00 % 22.00 % –" in text
    assert "+8.00 points, 95 % interval +5.00 to +11.00" in text


def test_the_audit_table_of_one_model_has_no_baseline() -> None:
    text = printed(
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


def test_a_mobile_targets_latency_on_this_computer_is_called_that() -> None:
    slow = HostLatency("model.int8.tflite", 1, xnnpack=False, median_ms=12.34, p90_ms=15.0)
    fast = HostLatency("model.int8.tflite", 1, xnnpack=True, median_ms=0.4321, p90_ms=0.5)
    text = " ".join(printed(host_latency_table(Timings("Some CPU <3", {}, (fast, slow)))).split())
    assert "on this computer (Some CPU <3), one image at a time; not the target's latency" in text
    assert "model.int8.tflite XNNPACK 1 0.432 ms 0.5 ms" in text
    assert "model.int8.tflite built in 1 12.3 ms 15 ms" in text
