"""The quantize stage: from cheap to expensive, and what it records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flatnas.data.registry import load_dataset
from hardware_profiles.profile import load_profile
from pipeline.layers import configured
from pipeline.progress import Reporter
from pipeline.runs.facts import Origin
from pipeline.runs.places import Places
from pipeline.runs.stage import StageContext, settings_from
from pipeline.stages import quantize

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def digits(unseen: Any) -> Any:
    """Digits that a small net learns by heart, and is asked about again: what it loses then is lost to int8."""
    data = load_dataset("digits")
    return replace(data, train=data.train.subset(400), val=data.train.subset(400), test=unseen)


def _trained_net(data: Any) -> Any:
    """Three strided convolutions and a classifier, batch norms folded."""
    from export.write.fold import fold_batch_norm
    from flatnas.training.train import Recipe, cross_entropy, train

    nn = torch.nn
    torch.manual_seed(0)
    layers: list[Any] = []
    for c_in, c_out in ((3, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    train(net, data.train, cross_entropy(net, 32, 0.0), Recipe(15, 0.2, 0, batch_size=50, mirror=False, shift=0))
    return fold_batch_norm(net)


@pytest.fixture(scope="module")
def nets(digits: Any) -> dict[str, bytes]:
    """A trained net, and the same function with channels of very different size, as ONNX."""
    from export.write.to_onnx import to_onnx

    net = _trained_net(digits)
    plain = to_onnx(net, (1, 3, 32, 32))
    with torch.no_grad():
        for layer, following in ((net[0], net[3]), (net[3], net[6])):
            factors = 10 ** torch.linspace(-2, 2, layer.out_channels)
            layer.weight.mul_(factors.reshape(-1, 1, 1, 1))
            layer.bias.mul_(factors)
            following.weight.div_(factors.reshape(1, -1, 1, 1))
    return {"plain": plain, "hard": to_onnx(net, (1, 3, 32, 32))}


def _run(directory: Path, content: bytes, data: Any, mode: str, resolution: int = 32) -> Any:
    config = configured({"target": "cortex-m7", "dataset": "digits", "preset": "quick", "quantize": mode})
    (directory / "model").mkdir()
    (directory / "model" / "arch.json").write_text(
        json.dumps({"resolution": resolution, "stem": 8, "stages": [], "head": 8})
    )
    (directory / "model" / "model.float.onnx").write_bytes(content)
    work = directory / ".work"
    work.mkdir()
    stage, origin = quantize.STAGE, Origin(config, load_profile("cortex-m7", {}), data)
    settings = settings_from(stage.settings, origin.value_of)
    stage.run(StageContext(directory, (*stage.reads, *stage.writes), work, settings, data, None, Places(), Reporter()))
    return json.loads((directory / "model" / "quantization.json").read_text())


def _methods(record: Any) -> list[str]:
    return [attempt["method"] for attempt in record["attempts"]]


def test_auto_stops_at_the_cheapest_method_that_keeps_the_accuracy(nets: Any, digits: Any, tmp_path: Path) -> None:
    record = _run(tmp_path, nets["plain"], digits, "auto")
    assert record["float_accuracy"] > 0.9
    assert _methods(record) == ["minmax"]
    assert record["method"] == "minmax"
    assert record["calibration_images"] == 256  # as many as `quick` takes


def test_auto_recovers_what_minmax_loses(nets: Any, digits: Any, tmp_path: Path) -> None:
    from export.calibrate import session

    record = _run(tmp_path, nets["hard"], digits, "auto")
    first, second = record["attempts"][:2]
    assert first["accuracy"] < record["float_accuracy"] - 0.03
    assert second["method"] == "post-training"
    assert "equalization" in [step["name"] for step in second["steps"]]
    best = max(record["attempts"], key=lambda attempt: attempt["accuracy"])
    assert best["accuracy"] >= record["float_accuracy"] - 0.01
    assert record["method"] == best["method"]
    run = session((tmp_path / "model" / "model.int8.onnx").read_bytes())
    x = ((digits.val.pixels_nhwc.transpose(0, 3, 1, 2).astype(np.float32) - 128) / 128).astype(np.float32)
    assert np.mean(run(None, {"image": x})[0].argmax(1) == digits.val.labels) == pytest.approx(best["accuracy"])


def test_ptq_never_trains_and_qat_always_does(nets: Any, digits: Any, tmp_path: Path) -> None:
    for mode, methods in {"ptq": ["post-training"], "qat": ["qat"]}.items():
        directory = tmp_path / mode
        directory.mkdir()
        record = _run(directory, nets["plain"], digits, mode)
        assert _methods(record) == methods
        assert record["attempts"][0]["accuracy"] >= record["float_accuracy"] - 0.02


@pytest.mark.slow
def test_auto_recovers_hard_swish_and_squeeze_excite_with_channels_of_very_different_size(tmp_path: Path) -> None:
    from small_nets import gated_net, spread_channels

    from export.write.fold import fold_batch_norm
    from export.write.to_onnx import to_onnx
    from flatnas.training.train import Recipe, cross_entropy, train

    data, size = load_dataset("digits"), 16
    torch.manual_seed(0)
    net = gated_net(size, channels=16, blocks=3)
    net[-1] = torch.nn.Linear(16, len(data.class_names))
    train(net, data.train, cross_entropy(net, size, 0.0), Recipe(30, 0.1, 0, batch_size=50, mirror=False, shift=1))
    content = to_onnx(spread_channels(fold_batch_norm(net), 1000), (1, 3, size, size))
    record = _run(tmp_path, content, data, "auto", size)
    lost = {attempt["method"]: record["float_accuracy"] - attempt["accuracy"] for attempt in record["attempts"]}
    assert record["float_accuracy"] > 0.9
    assert lost["minmax"] > 0.03
    assert min(lost.values()) <= 0.01
