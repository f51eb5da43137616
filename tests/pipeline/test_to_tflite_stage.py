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

from export.read_onnx import read_onnx
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


def run_stage(directory: Path, target: str) -> Path:
    """The released model's ONNX files through the stage."""
    released = released_models()["cifar10-resnet8-class"] / "model"
    (directory / "model").mkdir()
    for name in ("model.float.onnx", "model.int8.onnx"):
        shutil.copy(released / name, directory / "model" / name)
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
