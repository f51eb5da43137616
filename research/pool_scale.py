"""What a scale of its own for the last global average pool, as TensorFlow's converter gives it, is worth.

    python -m research.pool_scale [SUBNETS]

Each net is quantized twice, with min/max ranges of the same 512 training images, and answers CIFAR-10's 5,000
validation images in TFLite Micro's arithmetic, as C compiled for this machine. The nets: the released model, and random
subnets of the shipped supernet with their batch norms recalibrated. docs/export.md has the outcome.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np

from export import quantize
from export.calibrate import calibrate, session
from export.passes.canonical import canonical
from export.read_onnx import read_onnx
from export.run.runners import load_runner
from export.write.to_tflite import to_tflite
from flatnas.data.dataset import Dataset
from flatnas.data.registry import load_dataset
from flatnas.data.resize import resize
from pipeline.models import released_models

SUPERNET = Path("flatnas/pretrained/cifar10.safetensors")
sharing_groups = quantize.sharing_groups


def last_pool_apart(graph: Any) -> list[list[str]]:
    """The groups, as if the last pool changed the scale: read_onnx then makes a MEAN of it."""
    last = [node for node in graph.nodes if node.op_type == "GlobalAveragePool"][-1]
    last.op_type = "Softmax"  # any kind that shares nothing; the groups look at no more than the kind
    try:
        return sharing_groups(graph)
    finally:
        last.op_type = "GlobalAveragePool"


def nets(data: Dataset, subnets: int) -> Iterator[tuple[str, bytes, int]]:
    """(name, float ONNX, resolution)."""
    from export.write.fold import fold_batch_norm
    from export.write.to_onnx import to_onnx
    from flatnas.nets.supernet_file import load_supernet
    from flatnas.training.train import recalibrate

    released = released_models()["cifar10-resnet8-class"]
    yield "released", (released / "model" / "model.float.onnx").read_bytes(), 32
    supernet, rng = load_supernet(SUPERNET), np.random.default_rng(6)
    for i in range(subnets):
        arch = supernet.space.sample(rng)
        net, side = supernet.extract(arch), arch.resolution
        recalibrate(net, data.train.subset(1000, 0).pixels_nhwc, side)
        yield f"subnet {i}", to_onnx(fold_batch_norm(net.eval()), (1, 3, side, side)), side


def measure(name: str, float_onnx: bytes, side: int, data: Dataset) -> tuple[int, int]:
    """Print agreement and accuracy with both scales; images that only one of them answers as the float model does."""
    pixels, labels = resize(data.val.pixels_nhwc, side), data.val.labels
    x, calibration = (
        ((p.transpose(0, 3, 1, 2).astype(np.float32) - 128) / 128).astype(np.float32)
        for p in (pixels, resize(data.train.subset(512, 0).pixels_nhwc, side))
    )
    run = session(float_onnx)
    expected = np.concatenate([run(None, {"image": x[i : i + 250]})[0] for i in range(0, len(x), 250)]).argmax(1)
    ranges = calibrate(float_onnx, calibration)
    agrees = []
    for kind, groups in (("the input's", sharing_groups), ("its own", last_pool_apart)):
        with patch.object(quantize, "sharing_groups", groups), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(
                to_tflite(read_onnx(quantize.quantize_graph(canonical(float_onnx), ranges, (np.float32(1 / 128), 0))))
            )
            answers = load_runner(path, "firmware").classify(pixels).argmax(1)
        agrees.append(answers == expected)
        click.echo(f"{name:9} {kind:11}  as float {agrees[-1].mean():.2%}  accuracy {np.mean(answers == labels):.2%}")
    shared, own = agrees
    return int((own & ~shared).sum()), int((shared & ~own).sum())


def main() -> None:
    """All nets, then the totals."""
    data = load_dataset("cifar10")
    subnets = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    found = [measure(name, onnx, side, data) for name, onnx, side in nets(data, subnets)]
    better, worse = np.sum(found, axis=0)
    click.echo(f"as the float model only with its own scale: {better}, only with the input's: {worse}")


if __name__ == "__main__":
    main()
