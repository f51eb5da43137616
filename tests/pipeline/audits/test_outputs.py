"""What an audit is told as: JSON, JUnit, page, terminal, predictions; and two audits compared."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from pipeline import Audit, AuditRequest, audit, compare
from pipeline.audits.predictions import PredictionsFile
from pipeline.audits.result import AuditResult, Gate, LayerNoise
from pipeline.errors import PipelineError
from pipeline.values import from_plain

GATES = [
    Gate(name="mCE", limit=0.2, value=0.3, unit="share", passed=False),
    Gate(name="accuracy", limit=0.8, value=0.9, unit="share", asks="at least", passed=True),
]


@pytest.fixture(scope="module")
def found(digit_models: Any) -> Audit:
    return audit(
        digit_models.int8_tflite,
        digit_models.undeclared_onnx,
        request=AuditRequest(
            dataset="digits",
            limit=40,
            corruptions=(
                "contrast",
                "fog",
            ),
            device_images=0,
        ),
    ).with_gates(GATES)


def test_the_json_is_read_back_by_its_own_model_and_has_the_contracts_keys(found: Audit) -> None:
    content = json.loads(json.dumps(found.result.to_json()))
    assert from_plain(AuditResult, content, "the audit") == found.result
    assert set(content["accuracy"]) == {"model", "baseline"}
    robustness = content["robustness"]
    assert {"source", "images", "corruptions", "mce", "mean_error", "per_corruption", "delta"} <= set(robustness)
    assert len(robustness["per_corruption"]["fog"]["model"]) == 5
    gate = {"name": "mCE", "limit": 0.2, "value": 0.3, "unit": "share", "asks": "at most", "note": "", "passed": False}
    assert content["gates"][0] == gate
    assert [row["images"] for row in content["classifier"]["classes"]] == [4] * 10


def test_junit_has_a_case_per_gate_and_says_why_one_failed(found: Audit) -> None:
    from pipeline.report.junit import gates_as_junit

    suite = ElementTree.fromstring(gates_as_junit("pipeline audit", "int8.tflite", found.result.gates)).find(
        "testsuite"
    )
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed, passed = suite.findall("testcase")
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "mCE is 30.00 %, must be ≤ 20.00 %"
    assert passed.find("failure") is None
    none = ElementTree.fromstring(gates_as_junit("pipeline audit", "int8.tflite", []))
    assert [case.get("name") for case in none.iter("testcase")] == ["audited"]


def test_the_page_needs_no_other_file_and_shows_pictures_that_flipped(found: Audit) -> None:
    from pipeline.report.audit_page import render_audit_page

    layer = LayerNoise(name="stem/conv", sqnr_db=None, saturated={"clean": 0.0, "fog": 0.125})
    found = replace(found, result=replace(found.result, layers=(layer,)))
    page = render_audit_page(found)
    tags: list[tuple[str, dict[str, str | None]]] = []

    class Collect(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    Collect().feed(page)
    assert not [attrs for tag, attrs in tags if tag in ("script", "link")]
    pictures = [attrs["src"] or "" for tag, attrs in tags if tag == "img"]
    assert len(pictures) > 8
    assert all(source.startswith("data:image/png;base64,") for source in pictures)
    assert "http" not in page
    assert "✗ FAIL" in page
    assert "model − baseline" in page
    fog = found.result.robustness.per_corruption["fog"]["model"][0]
    assert f">{100 * fog:.1f}</td>" in page
    assert "stem/conv" in page
    assert ">12.50</td>" in page


def test_the_terminal_shows_warnings_numbers_and_gates(found: Audit) -> None:
    from rich.console import Console

    from pipeline.report.audit_terminal import audit_screen

    text_file = StringIO()
    Console(width=150, file=text_file).print(audit_screen(found.result))
    text = text_file.getvalue()
    assert "warning: the baseline (undeclared.onnx) is near chance" in text
    assert re.search(r"fog +\d+\.\d", text)
    assert "McNemar" in text
    assert "✗ mCE 30.00 %, must be ≤ 20.00 %" in text
    assert len(text.splitlines()) < 45


def test_predictions_written_are_compared_without_running_anything(
    found: Audit, digit_models: Any, tmp_path: Path
) -> None:
    found.predictions.write(tmp_path / "a.npz")
    other = audit(digit_models.float_onnx, request=AuditRequest(dataset="digits", limit=30, corruptions=("fog",)))
    other.predictions.write(tmp_path / "b.npz")
    result = compare(tmp_path / "a.npz", tmp_path / "b.npz")
    assert result.models["model"].file == "int8.tflite"
    assert result.models["baseline"].file == "float.onnx"
    assert result.robustness.corruptions == ("fog",)
    shared = np.intersect1d(found.predictions.indices, other.predictions.indices)
    assert result.robustness.images == len(shared) > 0
    columns = np.searchsorted(other.predictions.indices, shared)
    answers = other.predictions.predictions["model"].classes[:, columns]
    errors = (answers != other.predictions.labels[columns]).mean(1)
    assert result.robustness.per_corruption["fog"]["baseline"] == pytest.approx(errors[1:].tolist())
    itself = compare(tmp_path / "a.npz", tmp_path / "a.npz")
    assert itself.robustness.delta is not None
    assert itself.robustness.delta.mean == 0


def test_audits_of_other_pictures_are_not_compared(found: Audit, digit_models: Any, tmp_path: Path) -> None:
    found.predictions.write(tmp_path / "a.npz")
    audit(
        digit_models.float_onnx, request=AuditRequest(dataset="digits", limit=20, corruptions=("fog",), seed=1)
    ).predictions.write(tmp_path / "b.npz")
    with pytest.raises(PipelineError, match="did not see the same pictures"):
        compare(tmp_path / "a.npz", tmp_path / "b.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY", b"{}"])
def test_a_file_that_holds_no_predictions_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(PipelineError, match=r"x\.npz holds no predictions of an audit"):
        PredictionsFile.read(tmp_path / "x.npz")


def test_damaged_predictions_give_a_clean_error_or_none(found: Audit, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    found.predictions.write(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(1000):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, len(damaged), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with suppress(PipelineError):
            PredictionsFile.read(path)
