"""What a run's data is to the commands that read the run afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.layers import configured
from pipeline.models import released_models
from pipeline.run_data import audited_on_device, load_data_as_run
from pipeline.values import plain


def write_run(directory: Path, **config: Any) -> Path:
    directory.mkdir()
    content = plain(configured({"target": "cortex-m7", "dataset": "x", **config}))
    (directory / "run.json").write_text(json.dumps({"config": content}))
    return directory


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    for c, name in enumerate(("cat", "dog")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (60, 60), (i, c, 0)).save(tmp_path / "pictures" / name / f"{i}.png")
    return str(tmp_path / "pictures")


def test_pictures_have_the_resolution_that_the_run_asked_for_else_their_own(pictures: str, tmp_path: Path) -> None:
    asked, not_asked = write_run(tmp_path / "a", resolution=24), write_run(tmp_path / "b")
    assert load_data_as_run(asked, pictures, None).resolution == 24
    assert load_data_as_run(not_asked, pictures, None).resolution == 60
    assert load_data_as_run(asked, "digits", None).resolution == 32


@pytest.mark.parametrize("given", ["/elsewhere/supernet.safetensors", None])  # the user's, or adapted by the run
def test_pictures_have_the_resolution_of_the_runs_own_supernet(
    pictures: str, tmp_path: Path, given: str | None
) -> None:
    pytest.importorskip("torch")
    from flatnas.nets.supernet_file import serialize_supernet
    from flatnas.space.spaces import mcu_space
    from flatnas.training.supernet_training import new_supernet

    run = write_run(tmp_path / "run", supernet=given)
    (run / "search").mkdir()
    (run / "search" / "supernet.safetensors").write_bytes(serialize_supernet(new_supernet(mcu_space(2, 48), 0)))
    assert load_data_as_run(run, pictures, None).resolution == 48


def test_a_run_of_another_version_is_told(pictures: str, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    (directory / "run.json").write_text(json.dumps({"config": {"target": "cortex-m7", "unheard_of": 1}}))
    with pytest.raises(PipelineError, match=r"run\.json is of another version; call 'pipeline run' again"):
        load_data_as_run(directory, pictures, None)


def test_a_run_is_audited_in_the_arithmetic_of_its_own_audit(tmp_path: Path) -> None:
    """Models of version 0.1 were audited by XNNPACK, later ones as the device computes."""
    released = next(iter(released_models().values()))
    assert not audited_on_device(released)
    content = json.loads((released / "audit" / "audit.json").read_text())
    content["models"]["int8"]["runner"] = "firmware"
    (tmp_path / "audit").mkdir()
    assert audited_on_device(tmp_path), "a run without an audit should"
    (tmp_path / "audit" / "audit.json").write_text(json.dumps(content))
    assert audited_on_device(tmp_path)
