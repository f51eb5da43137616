"""What a run writes as TFLite: stripped for a microcontroller, with metadata and labels for a phone."""

from __future__ import annotations

import json
import shutil
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from metadata_schema import metadata_of
from rich.console import Console

from export.graph import Graph
from export.read_onnx import read_onnx
from export.read_tflite import read_tflite
from export.run.parity import parity
from export.write.to_tflite import to_tflite
from flatnas.data.dataset import Dataset, Images
from hardware_profiles.profile import load_profile
from pipeline.files import write_json
from pipeline.layers import configured
from pipeline.models import released_models
from pipeline.progress import Reporter
from pipeline.runs.facts import Origin
from pipeline.runs.runner import run_stages
from pipeline.stages import to_tflite as stage

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def with_a_dead_channel(qdq_onnx: Path) -> None:
    """Let the first convolution's third channel have no weights and no bias, as training leaves some."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(qdq_onnx)
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    for constant in model.graph.initializer:
        if constant.name in (f"{first}.weight_quantized", f"{first}.bias_quantized"):
            values = numpy_helper.to_array(constant).copy()
            values[2] = 0
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    onnx.save(model, qdq_onnx)


def run_stage(directory: Path, target: str, *, dead: bool = False) -> Path:
    """The released model's ONNX files through the stage.

    Args:
        dead: one of its channels is a constant.
    """
    released = released_models()["cifar10-resnet8-class"] / "model"
    (directory / "model").mkdir()
    for name in ("model.float.onnx", "model.int8.onnx"):
        shutil.copy(released / name, directory / "model" / name)
    if dead:
        with_a_dead_channel(directory / "model" / "model.int8.onnx")
    images = Images(np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10)
    data = Dataset("tiny", CLASSES, images, images, images, "digest")
    config = configured({"target": target, "dataset": "tiny", "preset": "quick"})
    identity = {"target": target, "dataset": "tiny", "data_sha256": "digest"}
    write_json(directory / "run.json", {"identity": identity, "stages": []})
    assert run_stages(
        (stage.STAGE,), directory, Origin(config, load_profile(target), data), Reporter(Console(quiet=True))
    )
    return directory / "model"


def test_a_microcontrollers_file_is_stripped(tmp_path: Path) -> None:
    model = run_stage(tmp_path, "cortex-m7")
    content = (model / "model.int8.tflite").read_bytes()
    assert content == to_tflite(read_onnx(model / "model.int8.onnx"))
    assert b"TFLITE_METADATA" not in content
    assert b"airplane" not in content
    assert not (model / "model.float.tflite").exists()


@pytest.mark.parametrize("target", ["cortex-m7", "raspberry-pi-4"])
def test_a_dead_channel_is_left_out_of_the_int8_file(tmp_path: Path, target: str) -> None:
    model = run_stage(tmp_path, target, dead=True)
    whole, left = read_onnx(model / "model.int8.onnx"), read_tflite(model / "model.int8.tflite")
    channels = [[graph.tensor(node.outputs[0]).shape[-1] for node in graph.nodes] for graph in (whole, left)]
    gone = sum(channels[0]) - sum(channels[1])
    assert gone > 0
    assert json.loads((model / "model.json").read_text())["removed_channels"] == gone
    rows = parity(model / "model.int8.tflite", model / "model.int8.onnx", np.zeros((2, *image_shape(left)), np.int8))
    assert all(row.holds for row in rows)


def image_shape(graph: Graph) -> tuple[int, ...]:
    return graph.tensor(graph.inputs[0]).shape[1:]


@pytest.mark.parametrize("target", ["raspberry-pi-4", "phone-cortex-a76"])
def test_every_file_for_a_phone_names_its_classes_and_its_normalisation(tmp_path: Path, target: str) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = run_stage(tmp_path, target)
    for kind in ("int8", "float", "float16", "dynamic"):
        path = model / f"model.{kind}.tflite"
        assert zipfile.ZipFile(path).read("labels.txt").decode().split() == list(CLASSES)
        file = schema.Model.GetRootAs(path.read_bytes(), 0)
        entries = {file.Metadata(i).Name(): file.Metadata(i).Buffer() for i in range(file.MetadataLength())}
        (subgraph,) = metadata_of(file.Buffers(entries[b"TFLITE_METADATA"]).DataAsNumpy().tobytes())[
            "subgraph_metadata"
        ]
        (image,) = subgraph["input_tensor_metadata"]
        assert image["process_units"] == [{"options": {"NormalizationOptions": {"mean": [128.0], "std": [128.0]}}}]
    told = json.loads((model / "model.json").read_text())
    assert told["sha256"] == sha256((model / "model.int8.tflite").read_bytes()).hexdigest()
