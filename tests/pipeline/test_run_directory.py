"""Where `pipeline run` puts a run."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.run import run_directory


def test_one_target_has_the_directory_that_was_named_and_several_share_it() -> None:
    assert run_directory(Path("here"), "cifar10", "cortex-m7", alone=True) == Path("here")
    assert run_directory(Path("here"), "cifar10", "cortex-m7", alone=False) == Path("here/cortex-m7")


def test_by_default_data_set_and_target_name_it_without_their_paths() -> None:
    assert run_directory(None, "/data/pictures", "camera", alone=True) == Path("runs/pictures/camera")
