"""Where `pipeline run` puts a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.options import split_names
from pipeline.commands.run import run_directory


def test_one_target_has_the_directory_that_was_named_and_several_share_it() -> None:
    assert run_directory(Path("here"), "cifar10", "cortex-m7", alone=True) == Path("here")
    assert run_directory(Path("here"), "cifar10", "cortex-m7", alone=False) == Path("here/cortex-m7")


def test_by_default_data_set_and_target_name_it_without_their_paths() -> None:
    assert run_directory(None, "/data/pictures", "camera", alone=True) == Path("runs/pictures/camera")


def test_a_profiles_file_is_known_by_its_whole_path_and_a_file_called_as_a_target_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cortex-m7").write_text("notes")
    assert split_names("cortex-m7, mine.toml") == ["cortex-m7", str(tmp_path / "mine.toml")]
