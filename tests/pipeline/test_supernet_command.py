from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("torch")

from flatnas.data.dataset import Dataset, Images, content_sha256
from flatnas.data.preparation import square
from flatnas.data.registry import load_dataset
from flatnas.errors import CheckpointError, LabelsError
from flatnas.training.soft_labels import SoftLabels, serialize_labels
from pipeline.cli import pipeline
from pipeline.errors import PipelineError


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 190)):
        (root / label).mkdir()
        for i in range(20):
            pixels = np.clip(rng.normal(level, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


def command(pictures: Path, out: Path, *more: str) -> list[str]:
    return ["supernet", "train", "--dataset", str(pictures), "--epochs", "2", "--out", str(out), *more]


def train(pictures: Path, out: Path, *more: str) -> None:
    assert CliRunner().invoke(pipeline, command(pictures, out, *more), standalone_mode=False).exception is None


def test_a_supernet_is_trained_carded_and_adapted(pictures: Path, tmp_path: Path) -> None:
    from flatnas.nets.supernet_file import read_class_names

    out = tmp_path / "net"
    train(pictures, out)
    weights = (out / "supernet.safetensors").read_bytes()
    card = json.loads((out / "card.json").read_text())
    curve = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    assert (card["space"], card["resolution"], card["classes"]) == ("mcu2", 16, ["dark", "light"])
    assert read_class_names(out / "supernet.safetensors") == ("dark", "light")
    assert (card["recipe"]["rho"], card["recipe"]["hold_epochs"], card["labels_sha256"]) == (0, 1, None)
    assert [row["epoch"] for row in curve] == [1, 2]
    assert set(curve[-1]["errors"]) == {"smallest", "largest", "random 1", "random 2"}
    train(pictures, out)  # done already: the checkpoint says so, and nothing changes
    assert (out / "supernet.safetensors").read_bytes() == weights
    train(pictures, tmp_path / "other", "--seed", "1")
    assert (tmp_path / "other" / "supernet.safetensors").read_bytes() != weights


def test_a_supernet_is_not_trained_into_something_else(pictures: Path) -> None:
    command = ["supernet", "train", "--dataset", str(pictures), "--epochs", "1", "--out", str(pictures)]
    result = CliRunner().invoke(pipeline, command, standalone_mode=False)
    assert isinstance(result.exception, PipelineError)
    assert "holds other files than a supernet's" in str(result.exception)
    assert sorted(p.name for p in pictures.iterdir()) == ["dark", "light"]


def test_a_supernet_learns_from_the_labels_that_are_named(pictures: Path, tmp_path: Path) -> None:
    data = load_dataset(str(pictures), None, square(16))
    rows = np.tile(np.array([[255, 255]], np.uint8), (len(data.train), 1))  # a teacher that can't tell
    labels = tmp_path / "labels.safetensors"
    labels.write_bytes(serialize_labels(SoftLabels(rows, data.class_names, data.content_sha256)))
    out = tmp_path / "out"
    train(pictures, out, "--teacher", str(labels))
    card = json.loads((out / "card.json").read_text())
    assert card["labels_sha256"] == hashlib.sha256(rows.tobytes()).hexdigest()
    assert "--teacher labels.safetensors" in card["command"]
    refused = CliRunner().invoke(pipeline, command(pictures, out), standalone_mode=False).exception
    assert isinstance(refused, CheckpointError)
    assert "of a training with another teacher" in str(refused)
    other = SoftLabels(rows, data.class_names, "0" * 64)
    labels.write_bytes(serialize_labels(other))
    of_other = command(pictures, tmp_path / "other", "--teacher", str(labels))
    assert isinstance(CliRunner().invoke(pipeline, of_other, standalone_mode=False).exception, LabelsError)


def test_a_training_started_afresh_counts_its_own_seconds(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "net"
    train(pictures, out)
    curve = out / "curve.jsonl"
    rows = [json.loads(line) for line in curve.read_text().splitlines()]
    curve.write_text("".join(json.dumps(row | {"seconds": 7200.0}) + "\n" for row in rows))
    (out / "training.safetensors").unlink()
    train(pictures, out)
    assert json.loads((out / "card.json").read_text())["seconds"] < 3600


def test_a_diverging_training_says_what_to_do(pictures: Path, tmp_path: Path) -> None:
    command = ["supernet", "train", "--dataset", str(pictures), "--epochs", "2", "--out", str(tmp_path / "net")]
    result = CliRunner().invoke(pipeline, [*command, "--learning-rate", "1e30"], standalone_mode=False)
    assert re.search(r"at step \d of 2; lower the learning rate \(--learning-rate\)", str(result.exception))


def test_a_supernet_of_other_data_or_another_start_does_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    from flatnas.errors import CheckpointError
    from flatnas.space.spaces import mcu_space
    from flatnas.training.supernet_training import new_supernet
    from flatnas.training.train import Recipe
    from pipeline.progress import Reporter
    from pipeline.supernets import train_into

    def into(classes: int = 2, level: int = 0, seed: int = 0) -> Path:
        pixels = np.full((8, 16, 16, 3), level, np.uint8)
        part = Images(pixels, np.arange(8) % classes)
        names = tuple("abc"[:classes])
        data = Dataset("plain", names, part, part, part, content_sha256(part))
        recipe = Recipe(epochs=1, learning_rate=0.1, seed=0, batch_size=8)
        return train_into(tmp_path, new_supernet(mcu_space(classes, 16), seed), data, None, recipe, Reporter(), "")

    weights = into().read_bytes()
    for other, named in (
        ({"classes": 3}, "data set, number of classes"),
        ({"level": 9}, "data set;"),
        ({"seed": 1}, "start"),
    ):
        with pytest.raises(CheckpointError, match=f"of a training with another {named}"):
            into(**other)
    assert into().read_bytes() == weights


def test_an_out_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["supernet", "train", "--dataset", "digits", "--epochs", "1", "--out", str(tmp_path / "file")]
    result = CliRunner().invoke(pipeline, arguments)
    assert isinstance(result.exception, PipelineError)
    assert (
        str(result.exception) == f"can't write to {tmp_path / 'file'}: File exists; name another directory with --out"
    )


@pytest.mark.parametrize(
    "option", [("--sigma", "0.1"), ("--objective", "rounding"), ("--finalist-epochs", "2"), ("--augment", "augmix")]
)
def test_the_published_protocol_takes_no_options_of_ours(option: tuple[str, str]) -> None:
    command = ["run", "--target", "cortex-m7", "--protocol", "paper", *option]
    result = CliRunner().invoke(pipeline, command, standalone_mode=False)
    assert f"as FlatNAS was published: leave out {option[0]}" in str(result.exception)


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        (("--select", "knee"), "--finalist-epochs chooses by accuracy, and --select knee doesn't: leave one out"),
        (("--finetune-epochs", "0"), "and --finetune-epochs 0 doesn't: leave one out"),
    ],
)
def test_what_contradicts_finalists_is_told(option: tuple[str, str], answer: str) -> None:
    command = ["run", "--target", "cortex-m7", "--finalist-epochs", "2", *option]
    result = CliRunner().invoke(pipeline, command, standalone_mode=False)
    assert answer in str(result.exception)


@pytest.mark.parametrize(
    ("sigma", "answer"),
    [
        ("0", "0.0 is not in the range 0<x<=1"),
        ("two", "'two' is not a valid float range"),
        ("0.05,3", "3.0 is not in the range 0<x<=1"),
        ("", "'' names none"),
        ("0.05,0.05", "names a noise twice"),
    ],
)
def test_a_sigma_out_of_range_is_one_line(sigma: str, answer: str) -> None:
    result = CliRunner().invoke(pipeline, ["run", "--target", "cortex-m7", "--sigma", sigma])
    assert result.exit_code != 0
    assert answer in f"{result.output}{result.exception}"


@pytest.mark.parametrize(
    ("class_names", "answer"),
    [
        (("cat", "dog", "bird"), "is for 3 classes at 32 pixels, and 'digits' has 10"),
        (tuple("012345678x"), "is for other classes, with 'x' where 'digits' has '9'"),
    ],
)
def test_a_supernet_of_other_classes_is_refused_with_the_command_that_adapts_it(
    tmp_path: Path, class_names: tuple[str, ...], answer: str
) -> None:
    torch = pytest.importorskip("torch")
    from flatnas.nets.supernet import Supernet
    from flatnas.nets.supernet_file import serialize_supernet
    from flatnas.space.spaces import mcu_space

    torch.manual_seed(0)
    path = tmp_path / "other.safetensors"
    path.write_bytes(serialize_supernet(Supernet(mcu_space(len(class_names), 32)), class_names))
    arguments = ["run", "--target", "cortex-m7", "--dataset", "digits", "--supernet", str(path)]
    result = CliRunner().invoke(pipeline, [*arguments, "--out", str(tmp_path / "run")])
    assert isinstance(result.exception, PipelineError)
    assert answer in str(result.exception)
    assert f"pipeline supernet adapt --from {path} --dataset digits" in str(result.exception)
