"""`pipeline crosscheck`: what TensorFlow's converter makes of a run's float model, beside what ours makes of it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands import options
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from export.run.crosscheck import Crosscheck
    from flatnas.data.dataset import Dataset, Images
    from pipeline.config import RunConfig


@dataclass(frozen=True, slots=True)
class _File:
    """One int8 file.

    Attributes:
        head_bytes: the arena's head in TFLite Micro; None where that can't run the file.
        accuracy: top-1 on validation images, with LiteRT's reference kernels.
        same_class: share of these images with the float model's class.
    """

    name: str
    bytes: int
    operators: int
    head_bytes: int | None
    accuracy: float
    same_class: float


@click.command()
@options.run_directory
@options.data_dir
@click.option(
    "--images", default=1000, show_default=True, type=click.IntRange(min=1), help="Validation images to classify."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")
def crosscheck(directory: Path, data_dir: Path | None, images: int, as_json: bool) -> int:
    """Convert the float model of RUN with onnx2tf and TensorFlow, too, and explain every difference.

    Both routes are calibrated by min/max on the run's calibration images. Needs the extra [tensorflow].
    """
    from export.calibrate import calibrate
    from export.quantize import quantize
    from export.read_onnx import read_onnx
    from export.read_tflite import read_tflite
    from export.run.crosscheck import crosscheck as compare
    from export.run.runners import load_runner
    from export.run.tensorflow_converter import convert, require_packages
    from export.write.to_tflite import to_tflite
    from flatnas.data.resize import resize

    require_packages()
    options.existing_run(directory)
    shipped, float_path = (directory / "model" / name for name in ("model.int8.tflite", "model.float.onnx"))
    for path in (shipped, float_path):
        if not path.is_file():
            raise PipelineError(f"{directory} has no model/{path.name}: call 'pipeline run' again to finish the run")
    config, data = _opened(directory, data_dir)
    model, content = load_runner(float_path), float_path.read_bytes()
    calibration = data.train.subset(config.export.calibration_images, config.seed)
    x = model.encode(resize(calibration.pixels_nhwc, model.resolution))
    made = {
        "shipped": shipped.read_bytes(),
        "min/max": to_tflite(read_onnx(quantize(content, calibrate(content, x), input_scale=1 / 128))),
        "TensorFlow": convert(content, x),
    }
    found = compare(read_tflite(made["min/max"]), read_tflite(made["TensorFlow"]))
    files = _measure(made, float_path, data.val.subset(images))
    if as_json:
        click.echo(json.dumps({"files": [asdict(f) for f in files], "comparison": asdict(found)}, indent=1))
    else:
        _show(files, found)
    return 0 if found.explained else 1


def _opened(directory: Path, data_dir: Path | None) -> tuple[RunConfig, Dataset]:
    """A run's configuration and the data it saw."""
    from pipeline.files import read_json
    from pipeline.run_data import load_data_as_run, read_config

    config = read_config(directory)
    data = load_data_as_run(directory, config.data.dataset, data_dir)
    if data.content_sha256 != read_json(directory / "run.json")["identity"]["data_sha256"]:
        raise PipelineError(f"the data '{config.data.dataset}' is not what {directory} was made with")
    return config, data


def _measure(made: dict[str, bytes], float_path: Path, images: Images) -> list[_File]:
    import numpy as np

    from export.graph import ExportError
    from export.read_tflite import read_tflite
    from export.run.runners import load_runner
    from export.run.tflite_runtimes import tflm_head_bytes
    from flatnas.data.resize import resize

    model = load_runner(float_path)
    pixels = resize(images.pixels_nhwc, model.resolution)
    expected = model.classify(pixels).argmax(1)
    files = []
    with tempfile.TemporaryDirectory() as work:
        for name, content in made.items():
            path = Path(work) / "model.tflite"
            path.write_bytes(content)
            classes = load_runner(path, "litert-reference").classify(pixels).argmax(1)
            try:
                head = tflm_head_bytes(content)
            except ExportError:
                head = None
            right, same = float(np.mean(classes == images.labels)), float(np.mean(classes == expected))
            files.append(_File(name, len(content), len(read_tflite(content).nodes), head, right, same))
    return files


_REASONS = {
    "residual": "TensorFlow calibrates the input of a residual ADD once more after the sum was written over it",
    "pool": "AVERAGE_POOL_2D keeps its input's quantization; TensorFlow's MEAN has its own",
    "clip": "a gate's clip to 0..1 is the convolution's own saturation here, and a RELU_0_TO_1 behind it there",
    None: "unexplained",
}


def _show(files: list[_File], found: Crosscheck) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    table = Table("int8 file", "bytes", "operators", "arena (TFLite Micro)", "top-1", "class of the float model")
    for f in files:
        head = "does not run" if f.head_bytes is None else f"{f.head_bytes:,}"
        table.add_row(f.name, f"{f.bytes:,}", str(f.operators), head, f"{f.accuracy:.2%}", f"{f.same_class:.2%}")
    console.print(table)
    for whose, ops in (("ours alone", found.only_ours), ("TensorFlow's alone", found.only_theirs)):
        console.print(f"operators of {whose}: {', '.join(f'{n} {op}' for op, n in sorted(ops.items())) or 'none'}")
    console.print(f"{found.weights_differing} of {found.weights:,} int8 weights differ")
    console.print(f"{len(found.differences)} of {found.compared} activations have another scale or zero point")
    for reason, text in _REASONS.items():
        for d in (d for d in found.differences if d.reason == reason):
            console.print(f"  {d.node}: {d.ours[0]:.6g}, {d.ours[1]} here, {d.theirs[0]:.6g}, {d.theirs[1]} there")
        if any(d.reason == reason for d in found.differences):
            console.print(f"  → {text}")
    for name in found.unmatched:
        console.print(f"  {name} has no counterpart")
