"""Where a run's data and files lie is no part of its result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from flatnas.data.dataset import Dataset, Images
from hardware_profiles.profile import load_profile
from pipeline.commands.run import _configs
from pipeline.config import RunConfig
from pipeline.errors import PipelineError
from pipeline.files import sha256_of, write_bytes, write_json
from pipeline.layers import configured
from pipeline.progress import Reporter
from pipeline.run_data import read_config
from pipeline.runs.facts import Origin
from pipeline.runs.places import Places, places_of, with_places, without_places
from pipeline.runs.runner import run_stages
from pipeline.runs.stage import Stage, StageContext

IMAGES = Images(np.zeros((2, 8, 8, 3), np.uint8), np.arange(2))
DATA = Dataset("tiny", ("a", "b"), IMAGES, IMAGES, IMAGES, "digest")


def run_in(place: Path) -> tuple[Path, RunConfig]:
    """A run of one stage, of pictures, supernet and profile that lie in a place."""
    place.mkdir()
    (place / "net.safetensors").write_bytes(b"weights")
    given = {
        "target": str(place / "board.toml"),
        "dataset": str(place / "pictures"),
        "supernet": str(place / "net.safetensors"),
    }
    config = configured(given)

    def write(context: StageContext[RunConfig]) -> None:
        settings = context.settings
        assert context.places == places_of(config)
        write_bytes(context.path("out"), f"{settings.target} {settings.supernet} {settings.data}".encode())

    stage = Stage("only", (), ("out",), RunConfig, write)
    run_stages([stage], place / "run", Origin(config, load_profile("cortex-m7"), DATA), Reporter(Console(quiet=True)))
    return place / "run", config


def test_runs_of_the_same_content_in_two_places_have_the_same_bytes(tmp_path: Path) -> None:
    (here, asked), (there, _) = run_in(tmp_path / "here"), run_in(tmp_path / "there")
    for name in ("run.json", "out", "manifest.json"):
        assert sha256_of(here / name) == sha256_of(there / name)
        assert str(tmp_path).encode() not in (here / name).read_bytes()
    assert "places.json" not in (here / "manifest.json").read_text()
    assert read_config(here) == asked  # so that `audit RUN` and `--config RUN` find them again


def test_a_run_from_elsewhere_names_the_last_parts(tmp_path: Path) -> None:
    directory, asked = run_in(tmp_path / "here")
    (directory / "places.json").unlink()
    assert read_config(directory) == without_places(asked)
    assert read_config(directory).data.dataset == "pictures"


def test_places_of_something_else_are_not_taken(tmp_path: Path) -> None:
    config = configured({"target": "cortex-m7", "dataset": "digits"})
    assert places_of(config) == Places()
    write_json(tmp_path / "places.json", {"dataset": "/elsewhere/other", "supernet": "/x", "target": "/x/board.toml"})
    assert with_places(config, tmp_path) == config


def test_a_files_folder_is_a_whole_path_and_none_has_the_name_of_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pictures", "digits"):
        (tmp_path / name).mkdir()
    file = tmp_path / "mine.toml"
    file.write_text('[data]\ndataset = "pictures"\n')
    (config,) = _configs({}, "cortex-m7", file, ())
    assert config.data.dataset == str(tmp_path / "pictures")
    file.write_text('[data]\ndataset = "./digits"\n')
    with pytest.raises(PipelineError, match="has the name of the data set 'digits': give the folder another one"):
        _configs({}, "cortex-m7", file, ())
    file.write_text('[data]\ndataset = "digits"\n')
    assert _configs({}, "cortex-m7", file, ())[0].data.dataset == "digits"
    file.write_text('[supernet]\nsupernet = "absent.safetensors"\n')
    with pytest.raises(PipelineError, match=r"--supernet: there is no file absent\.safetensors"):
        _configs({}, "cortex-m7", file, ())
