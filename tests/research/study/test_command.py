"""`python -m research.study`: what it refuses before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from research.study.__main__ import study


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "cortex-m7,cortex-m4"], "a study is of one target"),
        (["--target", "cortex-m7", "--trainings", "sam,adam"], "'adam' is none of inherited, sgd, sam"),
        (["--target", "cortex-m7", "--sigma", "2"], "2.0 is not in the range 0<x<=1"),
    ],
)
def test_a_wrong_study_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(study, [*arguments, "--out", str(tmp_path / "study")])
    assert result.exit_code != 0
    assert message in f"{result.exception}{result.output}"
    assert not (tmp_path / "study").exists()
