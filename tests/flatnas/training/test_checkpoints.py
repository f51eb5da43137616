"""Trainings that were killed go on to the same weights; checkpoints of others are refused and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from small_training import RECIPE, small_net, two_colours  # noqa: E402

from flatnas.errors import CheckpointError, TrainingDivergedError  # noqa: E402
from flatnas.training.train import (  # noqa: E402
    OptimizerKind,
    Recipe,
    cross_entropy,
    train,
)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_killed_training_ends_with_the_same_weights(
    tmp_path: Path, optimizer: OptimizerKind, kept_after_every_step: None
) -> None:
    images = two_colours(16 * 40)  # 40 steps an epoch
    recipe = replace(RECIPE, optimizer=optimizer)
    whole = small_net()
    train(whole, images, cross_entropy(whole, 8, 0.1), recipe)

    class KilledError(Exception):
        pass

    def kill(step: int, steps: int, loss: float) -> None:
        if step == 77:
            raise KilledError

    checkpoint = tmp_path / "training.safetensors"
    killed = small_net()
    with pytest.raises(KilledError):
        train(killed, images, cross_entropy(killed, 8, 0.1), recipe, checkpoint=checkpoint, progress=kill)
    resumed = small_net()
    steps: list[int] = []
    train(
        resumed,
        images,
        cross_entropy(resumed, 8, 0.1),
        recipe,
        checkpoint=checkpoint,
        progress=lambda s, n, v: steps.append(s),
    )
    assert steps[0] == 77
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_another_identity_is_refused_and_kept(tmp_path: Path) -> None:
    images, path = two_colours(64), tmp_path / "training.safetensors"

    def trained(identity: dict[str, str] | None) -> torch.nn.Module:
        net = small_net()
        train(net, images, cross_entropy(net, 8, 0.0), RECIPE, checkpoint=path, identity=identity)
        return net

    end = trained({"data set": "a", "start": "0"})
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"of a training with another data set; train into another directory"):
        trained({"data set": "b", "start": "0"})
    assert path.read_bytes() == before
    assert torch.equal(trained({"data set": "a", "start": "0"})[5].weight, end[5].weight)


def test_a_checkpoint_of_another_recipe_is_refused_and_kept(tmp_path: Path) -> None:
    images, path = two_colours(64), tmp_path / "training.safetensors"

    def trained(recipe: Recipe) -> None:
        net = small_net()
        train(net, images, cross_entropy(net, 8, 0.0), recipe, checkpoint=path)

    trained(RECIPE)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="of a training with another epochs, learning rate; train into another"):
        trained(replace(RECIPE, epochs=RECIPE.epochs + 1, learning_rate=0.01))
    assert path.read_bytes() == before


def test_a_checkpoint_older_than_a_field_of_the_recipe_is_resumed(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    images, path, net = two_colours(64), tmp_path / "training.safetensors", small_net()
    train(net, images, cross_entropy(net, 8, 0.0), RECIPE, checkpoint=path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    recipe = json.loads(metadata["recipe"])
    older = {name: value for name, value in recipe.items() if name not in ("optimizer", "head_factor")}
    assert len(older) == len(recipe) - 2
    save_file(load_file(path), path, metadata | {"recipe": json.dumps(older)})
    steps: list[int] = []
    again = small_net()
    loss = cross_entropy(again, 8, 0.0)
    train(again, images, loss, RECIPE, checkpoint=path, progress=lambda s, n, v: steps.append(s))
    assert steps == []
    with pytest.raises(CheckpointError, match="of a training with another optimizer; train into another"):
        train(again, images, loss, replace(RECIPE, optimizer="adamw"), checkpoint=path)


def test_a_longer_training_goes_on_from_where_the_rate_began_to_fall(tmp_path: Path) -> None:
    images, path = two_colours(64), tmp_path / "training.safetensors"

    def trained(recipe: Recipe, checkpoint: Path) -> tuple[list[torch.Tensor], list[int]]:
        net, steps = small_net(), []
        loss = cross_entropy(net, 8, 0.0)
        train(net, images, loss, recipe, checkpoint=checkpoint, progress=lambda s, n, v: steps.append(s))
        return [p.detach().clone() for p in net.parameters()], steps

    plain = replace(RECIPE, rho=0.0)  # where SAM begins depends on the length
    short, long = replace(plain, epochs=3, hold_epochs=2), replace(plain, epochs=6, hold_epochs=5)
    trained(short, path)
    weights, steps = trained(long, path)
    assert steps == list(range(9, 25))  # 4 steps an epoch; the first two epochs are kept
    whole, _ = trained(long, tmp_path / "other.safetensors")
    torch.testing.assert_close(weights, whole, rtol=0, atol=1e-6)  # the warm-up's rates are rounded otherwise


def test_a_checkpoint_without_identity_is_resumed(tmp_path: Path) -> None:
    images, path = two_colours(64), tmp_path / "training.safetensors"
    steps: list[int] = []
    for identity in ({}, {"data set": "a"}):
        net = small_net()
        loss = cross_entropy(net, 8, 0.0)
        train(net, images, loss, RECIPE, checkpoint=path, identity=identity, progress=lambda s, n, v: steps.append(s))
    assert len(steps) == 12  # of the first training alone


def test_weights_that_overflow_in_the_last_step_stop_the_training(tmp_path: Path) -> None:
    net, images, path = small_net(), two_colours(16), tmp_path / "checkpoint.safetensors"
    recipe = replace(RECIPE, epochs=1, learning_rate=1e39)  # beyond float32 after a finite gradient
    with pytest.raises(TrainingDivergedError, match="not finite"):
        train(net, images, cross_entropy(net, 8, 0.0), recipe, checkpoint=path)
    assert not path.exists()


def test_averaged_weights_lag_behind_and_are_what_a_killed_training_ends_with(tmp_path: Path) -> None:
    images, ends = two_colours(64), []
    for ema in (0.0, 0.9):
        net = small_net()
        train(net, images, cross_entropy(net, 8, 0.0), replace(RECIPE, ema=ema))
        ends.append(net[5].weight.detach().clone())
    start = small_net()[5].weight.detach()
    assert 0 < float((ends[1] - start).norm()) < float((ends[0] - start).norm())

    class KilledError(Exception):
        pass

    def kill(step: int, steps: int, loss: float) -> None:
        if step == 6:
            raise KilledError

    path, recipe = tmp_path / "training.safetensors", replace(RECIPE, ema=0.9, epochs=20)
    whole, cut = small_net(), small_net()
    train(whole, images, cross_entropy(whole, 8, 0.0), recipe)
    with pytest.raises(KilledError):
        train(
            cut,
            images,
            cross_entropy(cut, 8, 0.0),
            recipe,
            checkpoint=path,
            progress=lambda s, n, v: kill(s - 50, n, v),
        )
    resumed = small_net()
    train(resumed, images, cross_entropy(resumed, 8, 0.0), recipe, checkpoint=path)
    assert torch.equal(resumed[5].weight, whole[5].weight)


def test_divergence_names_the_step_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, kept_after_every_step: None
) -> None:
    images, path = two_colours(16 * 40), tmp_path / "training.safetensors"
    net = small_net()
    good = cross_entropy(net, 8, 0.1)

    def poisoned(pixels: np.ndarray, labels: torch.Tensor, step: int) -> torch.Tensor:
        return good(pixels, labels, step) * (float("inf") if step == 63 else 1.0)

    with pytest.raises(TrainingDivergedError, match="the loss is inf at step 63 of 120"):
        train(net, images, poisoned, RECIPE, checkpoint=path)
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())  # the bad step was not taken
    steps: list[int] = []
    again = small_net()
    train(
        again,
        images,
        cross_entropy(again, 8, 0.1),
        RECIPE,
        checkpoint=path,
        progress=lambda step, n, v: steps.append(step),
    )
    assert steps[0] == 64
