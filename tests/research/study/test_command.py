"""`python -m research.study`: what it refuses before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.errors import PipelineError
from research.study.__main__ import study


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "cortex-m7,cortex-m4"], "a study is of one target"),
        (["--target", "cortex-m7", "--trainings", "sam,adam"], "'adam' is none of inherited, sgd, sam"),
        (["--target", "cortex-m7", "--sigma", "2"], "write numbers greater than 0 and at most 1"),
    ],
)
def test_a_wrong_study_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(study, [*arguments, "--out", str(tmp_path / "study")])
    assert isinstance(result.exception, PipelineError)
    assert message in str(result.exception)
    assert not (tmp_path / "study").exists()
