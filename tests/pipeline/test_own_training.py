"""Pictures of one's own: the shipped supernet gets a head, and the chosen subnet learns rare classes, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from flatnas.data.dataset import Dataset, Images, content_sha256  # noqa: E402
from flatnas.nets.supernet import Subnet  # noqa: E402
from flatnas.nets.supernet_file import load_supernet, serialize_supernet  # noqa: E402
from flatnas.space.spaces import mcu_space  # noqa: E402
from flatnas.training.supernet_training import new_supernet  # noqa: E402
from flatnas.training.train import predict  # noqa: E402
from hardware_profiles.profile import load_profile  # noqa: E402
from pipeline.files import write_bytes, write_json  # noqa: E402
from pipeline.layers import configured  # noqa: E402
from pipeline.progress import Reporter  # noqa: E402
from pipeline.runs.facts import Origin  # noqa: E402
from pipeline.runs.runner import run_stages  # noqa: E402
from pipeline.shipped import shipped_supernet  # noqa: E402
from pipeline.stages import finetune, supernet  # noqa: E402

PROFILE = load_profile("cortex-m7")
CONFIG = configured({"target": "cortex-m7", "dataset": "tints", "preset": "quick"})


class Listener(Reporter):
    """Keeps what people are told."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.notes, self.lines = list[str](), list[str]()

    def line(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def track(self, what: str) -> Iterator[Callable[[int, int | None, str], None]]:
        def advance(done: int, total: int | None, note: str = "") -> None:
            self.notes.append(f"{what}: {note}")

        yield advance


def tinted(counts: tuple[int, int], seed: int) -> Images:
    rng, labels = np.random.default_rng(seed), np.repeat([0, 1], counts)
    pixels = rng.integers(0, 150, (len(labels), 16, 16, 3))
    pixels[labels == 0, ..., 0] += 30
    pixels[labels == 1, ..., 2] += 30
    return Images(pixels.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def data(unseen: Images) -> Dataset:
    train, val = tinted((180, 12), 0), tinted((40, 10), 1)
    return Dataset("tints", ("red", "blue"), train, val, unseen, content_sha256(train, val), shift=1)


def test_the_shipped_supernet_keeps_its_features_and_learns_a_head(tmp_path: Path, data: Dataset) -> None:
    listener = Listener()
    run_stages([supernet.STAGE], tmp_path, Origin(CONFIG, PROFILE, data), listener)
    made = load_supernet(tmp_path / "search/supernet.safetensors")
    with shipped_supernet() as path:
        shipped = load_supernet(path).state_dict()
    for name, value in made.state_dict().items():
        assert name.startswith("classifier.") or torch.equal(value, shipped[name])
    assert made.classifier.weight.shape[0] == 2
    assert made.classifier.weight.abs().max() > 0
    assert any("balanced validation error of the smallest subnet" in line for line in listener.lines)


def test_a_rare_class_is_learned_and_people_are_told_the_balanced_error(tmp_path: Path, data: Dataset) -> None:
    space = mcu_space(2, 16)
    arch = replace(space.smallest, resolution=16)
    write_json(tmp_path / "model/arch.json", arch.to_json())
    write_bytes(tmp_path / "search/supernet.safetensors", serialize_supernet(new_supernet(space, 0)))
    listener = Listener()
    identity = {"target": CONFIG.target, "dataset": CONFIG.data.dataset, "data_sha256": data.content_sha256}
    write_json(tmp_path / "run.json", {"identity": identity, "stages": []})
    run_stages([finetune.STAGE], tmp_path, Origin(CONFIG, PROFILE, data), listener)
    net = Subnet(space, arch)
    net.load_state_dict(load_file(tmp_path / "model/weights.safetensors"))
    answers = predict(net, data.val.pixels_nhwc, 16).argmax(1)
    assert np.mean(answers[data.val.labels == 1] == 1) >= 0.8
    assert np.mean(answers[data.val.labels == 0] == 0) >= 0.8
    assert "balanced validation error" in listener.notes[-1]
    assert len(listener.notes) == 100 * (192 // 32)  # 20,000 passes would be 104 epochs
