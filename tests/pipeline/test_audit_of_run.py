"""`pipeline audit RUN` gives the figures of the run's own audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 3])
def test_a_runs_figures_come_back_from_the_command(tmp_path: Path, seed: int | None) -> None:
    pytest.importorskip("torch")
    finished = os.environ.get("PIPELINE_FINISHED_RUN")
    directory = Path(finished) if finished and seed is None else tmp_path / "run"
    if not directory.exists():
        command = [sys.executable, "-m", "pipeline", "run", "--target", "cortex-m7", "--dataset", "digits"]
        more = ["--preset", "quick", "--offline", "--finetune-epochs", "0", "--out", str(directory)]
        subprocess.run([*command, *more, *(["--seed", str(seed)] if seed else [])], check=False)
    found = tmp_path / "audit.json"
    subprocess.run([sys.executable, "-m", "pipeline", "audit", str(directory), "--json", str(found)], check=True)
    report, audited = json.loads((directory / "report.json").read_text()), json.loads(found.read_text())
    own = report["audit"]
    robustness, again = own["robustness"], audited["robustness"]
    roles = {"int8": "model", "float": "baseline"}
    for name, role in roles.items():
        assert robustness["mce"][name] == again["mce"][role]
        assert robustness["mean_error"][name] == again["mean_error"][role]
        for corruption, errors in robustness["per_corruption"].items():
            assert errors[name] == again["per_corruption"][corruption][role]
    assert own["accuracy"]["int8"] == audited["accuracy"]["model"]
    assert own["accuracy"]["float"] == audited["accuracy"]["baseline"]
    assert robustness["delta"] == again["delta"]
    assert own["device"] == audited["device"]
    assert own["classifier"] == audited["classifier"]
