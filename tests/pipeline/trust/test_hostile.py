"""Whatever stands in a run's JSON, `verify` ends with lines about it, never with a traceback."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.files import write_json
from pipeline.runs.manifest import write_manifest
from pipeline.trust.verification import verify_run

FILES = ("report.json", "run.json", "model/model.json", "audit/audit.json", "search/front.json", "model/arch.json")
STRANGE: tuple[Any, ...] = (None, {}, [], "", "x\x1b[31m", -1, 0, 1e308, float("nan"), float("inf"), 2**80, True, [[]])


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container within a JSON value, with one of its keys."""
    if isinstance(value, dict):
        return [(value, key) for key in value] + [place for inner in value.values() for place in places(inner)]
    if isinstance(value, list):
        return [(value, i) for i in range(len(value))] + [place for inner in value for place in places(inner)]
    return []


@pytest.mark.parametrize("seed", range(25))
def test_a_value_of_any_kind_in_any_place_is_answered_in_lines(seed: int, run: Path) -> None:
    draw = random.Random(seed)
    whole = {name: (run / name).read_text() for name in FILES}
    for _ in range(8):
        for name, text in whole.items():
            (run / name).write_text(text)
        name = draw.choice(FILES)
        content = json.loads(whole[name])
        shallow = [place for place in places(content) if not isinstance(place[0], list) or len(place[0]) < 20]
        container, key = draw.choice(shallow)
        if draw.random() < 0.3:
            del container[key]
        else:
            container[key] = draw.choice(STRANGE)
        write_json(run / name, content)
        write_manifest(run)
        found = verify_run(run).problems
        assert found or name == "run.json", key  # no other file repeats a run's versions and counts


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("budget", "flash_bytes"), "report.json: has no budget of flash_bytes"),
        (("audit", "accuracy", "int8"), "report.json: has no accuracy of the int8 model"),
        (("audit", "robustness", "mce", "float"), "report.json: has no mCE of the float model"),
        (
            ("audit", "robustness", "per_corruption", "fog", "int8"),
            "report.json: has no errors under fog of the int8 model",
        ),
        (("audit", "robustness", "delta"), "report.json: has no difference of int8 and float"),
    ],
)
def test_a_figure_that_every_report_has_is_missed_by_name(keys: tuple[str, ...], line: str, run: Path) -> None:
    content = json.loads((run / "report.json").read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    del place[keys[-1]]
    write_json(run / "report.json", content)
    assert line in verify_run(run).problems
