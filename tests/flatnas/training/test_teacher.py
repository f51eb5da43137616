"""A teacher, and its soft labels as they ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flatnas.data.dataset import Dataset, Images, content_sha256  # noqa: E402
from flatnas.data.registry import load_dataset  # noqa: E402
from flatnas.errors import LabelsError  # noqa: E402
from flatnas.training.soft_labels import (  # noqa: E402
    SoftLabels,
    load_labels,
    quantize_probabilities,
    serialize_labels,
    taught,
)
from flatnas.training.teacher import Teacher, label, new_teacher, teacher_recipe, train_teacher  # noqa: E402
from flatnas.training.train import cross_entropy, to_input  # noqa: E402


def stripes(n: int, seed: int) -> Images:
    """Rows or columns that alternate: what no mean colour tells."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    pixels = rng.integers(0, 100, (n, 16, 16, 3))
    pixels[labels == 0, ::4] += 120
    pixels[labels == 1, :, ::4] += 120
    return Images(pixels.astype(np.uint8), labels.astype(np.int64))


@pytest.fixture(scope="module")
def data() -> Dataset:
    parts = [stripes(n, seed) for seed, n in enumerate((96, 40, 8))]
    return Dataset("stripes", ("rows", "columns"), *parts, content_sha256(*parts))


SHA = "0" * 64


def test_a_byte_for_each_probability_keeps_the_order_and_a_255th() -> None:
    rows = np.array([[0.7, 0.2, 0.1], [2.0, 2.0, 4.0]], np.float32)  # the second one of another sum
    quantized = quantize_probabilities(rows)
    assert quantized.tolist() == [[255, 73, 36], [128, 128, 255]]
    assert quantized[0] / quantized[0].sum() == pytest.approx([0.7, 0.2, 0.1], abs=0.003)


def test_targets_blend_the_teacher_with_the_label(data: Dataset) -> None:
    rows = np.tile(np.array([[255, 85]], np.uint8), (96, 1))  # 3/4 and 1/4
    images = taught(data, SoftLabels(rows, data.class_names, data.content_sha256), share=0.8)
    assert images.targets is not None
    assert images.targets[0] == pytest.approx([0.8 * 0.75 + 0.2, 0.8 * 0.25])
    assert images.targets[1] == pytest.approx([0.8 * 0.75, 0.8 * 0.25 + 0.2])
    part = images.take(np.array([5, 2]))
    assert part.targets is not None
    assert np.array_equal(part.targets, images.targets[[5, 2]])


def test_labels_of_other_data_are_refused(data: Dataset) -> None:
    labels = SoftLabels(np.full((96, 2), 255, np.uint8), data.class_names, SHA)
    with pytest.raises(LabelsError, match="of 96 other training images than the 96 of 'stripes'"):
        taught(data, labels)


def test_a_file_of_labels_is_read_back(tmp_path: Path) -> None:
    labels = SoftLabels(np.array([[255, 3], [0, 255]], np.uint8), ("a", "b"), SHA)
    path = tmp_path / "labels.safetensors"
    path.write_bytes(serialize_labels(labels))
    read = load_labels(path)
    assert np.array_equal(read.probabilities, labels.probabilities)
    assert (read.class_names, read.data_sha256) == (("a", "b"), SHA)


@pytest.mark.parametrize("content", [b"", b"no labels", bytes(64)])
def test_another_file_holds_no_labels(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.safetensors"
    path.write_bytes(content)
    with pytest.raises(LabelsError, match="holds no soft labels"):
        load_labels(path)
    whole = serialize_labels(SoftLabels(np.array([[255, 0]], np.uint8), ("a", "b"), SHA))
    path.write_bytes(whole.replace(b"class_names", b"klass_names"))
    with pytest.raises(LabelsError, match="holds no soft labels"):
        load_labels(path)


def test_a_row_of_zeros_is_no_distribution() -> None:
    with pytest.raises(ValueError, match="a row of soft labels is all zero"):
        SoftLabels(np.zeros((1, 2), np.uint8), ("a", "b"), SHA)


def test_targets_of_a_teacher_are_not_smoothed() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 2))
    loss, pixels = cross_entropy(net, 4, smoothing=0.3), np.zeros((2, 4, 4, 3), np.uint8)
    hard = torch.tensor([0, 1])
    logits = net(to_input(pixels, 4, torch.device("cpu")))
    plain = torch.nn.functional.cross_entropy(logits, hard)
    assert loss(pixels, torch.eye(2), 0).item() == pytest.approx(plain.item())
    smoothed = torch.nn.functional.cross_entropy(logits, hard, label_smoothing=0.3)
    assert loss(pixels, hard, 0).item() == pytest.approx(smoothed.item())


def test_the_first_layer_whitens_patches_of_the_training_images() -> None:
    data = load_dataset("digits")
    coloured = np.random.default_rng(0).integers(0, 60, data.train.pixels_nhwc.shape) + data.train.pixels_nhwc // 2
    data = replace(data, train=Images(coloured.astype(np.uint8), data.train.labels))
    net = new_teacher(data, 0)
    x = to_input(data.train.pixels_nhwc, 32, torch.device("cpu"))
    with torch.no_grad():
        y = net.whiten(x)
    assert torch.equal(y[:, 12:], -y[:, :12])
    covariance = torch.cov(y[:, :12].transpose(0, 1).flatten(1))
    diagonal = covariance.diagonal()
    assert (covariance - torch.diag(diagonal)).abs().max() < 0.02
    assert 0.3 < diagonal.min() < diagonal.max() < 1.1  # below 1 where the smallest eigenvalues are held up


def test_few_images_are_seen_more_often(data: Dataset) -> None:
    assert teacher_recipe(6, 0, data).epochs == 200  # one batch an epoch
    assert teacher_recipe(500, 0, data).epochs == 500


def test_a_teacher_learns_and_its_labels_say_what_it_knows(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(teacher_recipe(6, 0, data), epochs=6, batch_size=16, learning_rate=0.02)
    net = new_teacher(data, 0)
    assert train_teacher(net, data, recipe, checkpoint=tmp_path / "teacher.safetensors") <= 0.05
    sharp, soft = (label(net, data, temperature) for temperature in (1.0, 8.0))
    assert (sharp.probabilities.argmax(1) == data.train.labels).mean() > 0.95
    assert sharp.probabilities.min(1).mean() < soft.probabilities.min(1).mean()
    again = new_teacher(data, 0)
    train_teacher(again, data, recipe, checkpoint=tmp_path / "teacher.safetensors")  # finished: nothing to train
    assert np.array_equal(label(again, data, 1.0).probabilities, sharp.probabilities)


def test_the_views_of_digits_are_not_mirrored(data: Dataset) -> None:
    class Spy(Teacher):
        seen: list[torch.Tensor]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen.append(x)
            return torch.zeros(len(x), 2)

    for mirrors, views in ((True, 8), (False, 4)):
        net = Spy(2, 16)
        net.seen = []
        small = replace(data, train=data.train.subset(4), mirrors=mirrors)
        label(net, small, 1.0)
        assert len(net.seen) == views
        original = to_input(small.train.pixels_nhwc, 16, torch.device("cpu"))
        assert torch.equal(net.seen[0], original)
        assert any(torch.equal(x, original.flip(3)) for x in net.seen) is mirrors
        assert any(torch.equal(x[:, :, :-2], original[:, :, 2:]) for x in net.seen)  # moved by two rows
