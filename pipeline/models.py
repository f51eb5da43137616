"""Which model a command is asked about: a file, a run directory, or one of the released models by its name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from pipeline.errors import PipelineError


def released_models() -> Mapping[str, Path]:
    """The models that the package ships, by name: directories like a run's, without its search."""
    directory = Path(str(files("flatnas"))) / "pretrained" / "models"
    return {path.name: path for path in sorted(directory.glob("*")) if (path / "report.json").is_file()}


def find_model(named: Path) -> Path:
    """What exists on disk as it is, else the directory of the released model of that name; else `named` itself."""
    return named if named.exists() else released_models().get(str(named), named)


def in_run_directory(directory: Path) -> tuple[Path, Path]:
    """The int8 TFLite file and the float ONNX of a run directory.

    Raises:
        PipelineError: it holds no finished model.
    """
    int8, floats = directory / "model" / "model.int8.tflite", directory / "model" / "model.float.onnx"
    for path in (int8, floats):
        if not path.is_file():
            raise PipelineError(f"{directory} holds no run with a model: there is no {path}")
    return int8, floats


def model_file(model: Path) -> Path:
    """A file as it is; of a run directory, its int8 TFLite file.

    Raises:
        PipelineError: there is no such file, or the directory holds no finished model.
    """
    if model.is_dir():
        return in_run_directory(model)[0]
    if not model.is_file():
        hint = f"; the released models are {', '.join(released_models())}" if not model.suffix else ""
        raise PipelineError(f"there is no file {model}{hint}")
    return model


def tflite_file(model: Path, otherwise: str) -> Path:
    """`model_file` where that is a TFLite file.

    Args:
        otherwise: what to say of other files.

    Raises:
        PipelineError: as `model_file`, or a file of another kind.
    """
    if not model.is_dir() and model.suffix.lower() not in ("", ".tflite"):
        raise PipelineError(f"{model} is no TFLite file; {otherwise}")
    return model_file(model)
