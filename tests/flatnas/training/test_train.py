from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flatnas.data.dataset import Images  # noqa: E402
from flatnas.errors import CheckpointError, TrainingDivergedError  # noqa: E402
from flatnas.training.sam import sam_backward  # noqa: E402
from flatnas.training.train import (  # noqa: E402
    OptimizerKind,
    Recipe,
    augment,
    balanced_error,
    classification_error,
    cross_entropy,
    predict,
    recalibrate,
    to_input,
    train,
)


class Weights(torch.nn.Module):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


def small_net() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = (
        torch.nn.Conv2d(3, 4, 3, bias=False),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU6(),
        torch.nn.AdaptiveAvgPool2d(1),
    )
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(4, 2))


def two_colours(n: int) -> Images:
    """Dark and bright noise: separable by the mean."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    pixels = rng.integers(0, 120, (n, 8, 8, 3)) + 120 * labels[:, None, None, None]
    return Images(pixels.astype(np.uint8), labels.astype(np.int64))


RECIPE = Recipe(epochs=3, learning_rate=0.1, seed=5, batch_size=16, rho=0.05, sam_after=0.5, shift=1)


def test_sam_takes_the_gradient_at_the_perturbed_point() -> None:
    # L = w0^2 + 3 w1^2 at (3, 4): g = (6, 24), ||g|| = sqrt(612); gradient at w + rho g / ||g|| is 2 w0', 6 w1'.
    module = Weights(3, 4)
    scale = torch.tensor([1.0, 3.0], dtype=torch.float64)
    value = sam_backward(module, lambda: (scale * module.w**2).sum(), rho=0.5)
    norm = 612**0.5
    assert float(value) == pytest.approx(9 + 48)
    assert module.w.grad is not None
    assert module.w.grad.tolist() == pytest.approx([2 * (3 + 0.5 * 6 / norm), 6 * (4 + 0.5 * 24 / norm)])
    assert module.w.tolist() == [3, 4]  # back where it was


def test_asam_scales_the_step_by_the_weights() -> None:
    # eps = rho T^2 g / ||T g|| with T = |w| + 0.01; L = w^2 at w = 2: g = 4, so eps = rho * T whatever g is.
    module = Weights(2)
    sam_backward(module, lambda: (module.w**2).sum(), rho=0.5, adaptive=True)
    assert module.w.grad is not None
    assert module.w.grad.item() == pytest.approx(2 * (2 + 0.5 * 2.01))


def test_rho_zero_is_plain_backward_and_a_negative_one_is_refused() -> None:
    module = Weights(2)
    sam_backward(module, lambda: (module.w**2).sum(), rho=0)
    assert module.w.grad is not None
    assert module.w.grad.item() == 4
    with pytest.raises(ValueError, match="rho must be at least 0"):
        sam_backward(module, lambda: module.w.sum(), rho=-1)


def test_sam_keeps_running_statistics_from_the_perturbed_weights() -> None:
    net, x = small_net().train(), torch.randn(4, 3, 8, 8)
    plain = small_net().train()
    plain(x)
    sam_backward(net, lambda: net(x).square().sum(), rho=1.0)
    torch.testing.assert_close(net[1].running_mean, plain[1].running_mean)


def test_training_learns_and_evaluation_sees_it() -> None:
    net, images = small_net(), two_colours(64)
    train(net, images, cross_entropy(net, 8, 0.0), RECIPE)
    recalibrate(net, images.pixels_nhwc, 8)
    assert classification_error(predict(net, images.pixels_nhwc, 8), images.labels) == 0


def test_adamw_steps_by_the_rate_and_decays_matrices_alone() -> None:
    # The first step of AdamW is the rate whatever the gradient; the first rate of a warm-up is a hundredth of the top.
    net = torch.nn.Sequential()
    net.add_module("body", torch.nn.Linear(1, 1))
    net.add_module("classifier", torch.nn.Linear(1, 1))
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, 2.0)
    recipe = Recipe(1, 1.0, 0, optimizer="adamw", weight_decay=0.5, head_factor=3.0)
    everything = list(net.parameters())
    train(
        net, two_colours(2), lambda pixels, labels, step: 7 * torch.cat([p.flatten() for p in everything]).sum(), recipe
    )
    assert net.body.bias.item() == pytest.approx(2 - 0.01)
    assert net.body.weight.item() == pytest.approx(2 * (1 - 0.01 * 0.5) - 0.01)
    assert net.classifier.bias.item() == pytest.approx(2 - 0.03)
    assert net.classifier.weight.item() == pytest.approx(2 * (1 - 0.03 * 0.5) - 0.03)


def test_class_weights_weigh_the_losses_of_a_batch() -> None:
    # Logits 0, 0 for both pictures: each loss is ln 2; logits 0, ln 3 for class 0: ln 4, for class 1: ln 4 / 3.
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    torch.nn.init.zeros_(net[1].weight)
    with torch.no_grad():
        net[1].bias.copy_(torch.tensor([0.0, np.log(3.0)]))
    images = two_colours(3)  # labels 0, 1, 0
    loss = cross_entropy(net, 8, 0.0, np.array([0.5, 2.0], np.float32))
    value = loss(images.pixels_nhwc, torch.from_numpy(images.labels), 0)
    assert value.item() == pytest.approx((2 * 0.5 * np.log(4) + 2.0 * np.log(4 / 3)) / 3.0)


def test_a_balanced_error_counts_every_class_alike() -> None:
    # class 0: 1 of 4 wrong, class 2: 1 of 1 wrong, class 1 has no image: (0.25 + 1) / 2
    logits = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 0]]
    assert balanced_error(logits, np.array([0, 0, 0, 0, 2])) == pytest.approx(0.625)


def mean_of_input(pixels: np.ndarray) -> float:
    """What a batch norm that sees the pictures themselves takes for their mean."""
    norm = torch.nn.BatchNorm2d(3)
    recalibrate(norm, pixels, 8)
    return float(norm.running_mean[0])


def test_every_picture_counts_nearly_the_same_in_a_recalibration() -> None:
    black, white = np.zeros((250, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 255, np.uint8)
    assert mean_of_input(np.concatenate([black, white])) == pytest.approx(-1 + (255 / 128) / 251, abs=1e-4)


@pytest.mark.parametrize("images", [2, 250, 500])
def test_a_recalibration_takes_pictures_by_250_where_they_are_a_multiple_of_it(images: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (images, 8, 8, 3), np.uint8)
    norm = torch.nn.BatchNorm2d(3, momentum=None)
    for i in range(0, images, 250):
        norm(to_input(pixels[i : i + 250], 8, torch.device("cpu")))
    assert mean_of_input(pixels) == float(norm.running_mean[0])


def test_a_recalibration_leaves_no_picture_alone_in_a_batch() -> None:
    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.BatchNorm2d(3))  # one value per picture
    recalibrate(pooled, two_colours(251).pixels_nhwc, 8)
    assert float(pooled[1].running_var[0]) > 0


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


def test_a_batch_aims_at_the_targets_where_images_carry_some() -> None:
    plain, net, seen = two_colours(48), small_net(), []
    targets = np.stack([plain.labels, 1 - plain.labels], 1).astype(np.float32)
    taught = Images(plain.pixels_nhwc, plain.labels, targets).subset(32, seed=1)

    def loss(pixels: np.ndarray, aims: torch.Tensor, step: int) -> torch.Tensor:
        bright = torch.from_numpy(pixels.mean((1, 2, 3)) > 120)  # class 1, whose first target is 1
        seen.append(bool((aims[:, 0].bool() == bright).all()) and aims.shape == (16, 2))
        return net(to_input(pixels, 8, aims.device)).sum() * 0

    train(net, taught, loss, replace(RECIPE, rho=0.0))
    assert seen == [True] * 6


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


def test_a_held_rate_falls_only_at_the_end() -> None:
    recipe = replace(RECIPE, epochs=4, hold_epochs=3)
    assert recipe.rate(0) == pytest.approx(0.001)
    assert recipe.rate(0.125) == pytest.approx(0.051)  # halfway up
    assert recipe.rate(0.25) == recipe.rate(0.7) == 0.1
    assert recipe.rate(0.875) == pytest.approx(0.05)  # halfway down the cosine
    with pytest.raises(ValueError, match="the rate of 4 epochs can't be held for 4"):
        replace(RECIPE, epochs=4, hold_epochs=4)


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


def test_divergence_stops_the_training_and_names_the_step() -> None:
    net, images = small_net(), two_colours(32)
    with pytest.raises(TrainingDivergedError, match="the loss is nan at step 0 of 6"):
        train(
            net,
            images,
            lambda pixels, labels, step: net(to_input(pixels, 8, labels.device)).sum() * float("nan"),
            RECIPE,
        )


def test_a_loss_that_is_not_finite_at_the_perturbed_weights_stops_the_training() -> None:
    net, images = small_net(), two_colours(64)
    good, calls = cross_entropy(net, 8, 0.0), []

    def loss(pixels: np.ndarray, labels: torch.Tensor, step: int) -> torch.Tensor:
        calls.append(step)
        return good(pixels, labels, step) * (float("inf") if calls.count(2) == 2 else 1.0)

    with pytest.raises(TrainingDivergedError, match="the loss is inf at step 2 of"):
        train(net, images, loss, replace(RECIPE, sam_after=0.0))
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())


def test_weights_that_overflow_in_the_last_step_stop_the_training(tmp_path: Path) -> None:
    net, images, path = small_net(), two_colours(16), tmp_path / "checkpoint.safetensors"
    recipe = replace(RECIPE, epochs=1, learning_rate=1e39)  # beyond float32 after a finite gradient
    with pytest.raises(TrainingDivergedError, match="not finite"):
        train(net, images, cross_entropy(net, 8, 0.0), recipe, checkpoint=path)
    assert not path.exists()


def test_a_gradient_that_is_not_finite_stops_the_training() -> None:
    net, images = small_net(), two_colours(64)
    good = cross_entropy(net, 8, 0.0)

    def loss(pixels: np.ndarray, labels: torch.Tensor, step: int) -> torch.Tensor:
        zero = net[5].weight.sum() * 0
        return good(pixels, labels, step) + (
            zero.sqrt() if step == 1 else zero
        )  # 0, but with a slope of infinity times 0

    with pytest.raises(TrainingDivergedError, match="the loss is nan at step 1 of"):
        train(net, images, loss, RECIPE)
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())


def test_the_input_is_pixel_minus_128_over_128() -> None:
    pixels = np.array([[[[0, 128, 255]]]], np.uint8)
    assert to_input(pixels, 1, torch.device("cpu")).flatten().tolist() == [-1, 0, 127 / 128]


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


def test_after_each_epoch_the_averaged_weights_are_shown_and_the_trained_ones_go_on() -> None:
    images, seen = two_colours(64), []
    recipe = replace(RECIPE, ema=0.9)
    watched, plain = small_net(), small_net()
    loss = cross_entropy(watched, 8, 0.0)
    train(watched, images, loss, recipe, after_epoch=lambda e: seen.append(watched[5].weight.detach().clone()))
    train(plain, images, cross_entropy(plain, 8, 0.0), recipe)
    assert len(seen) == recipe.epochs
    assert torch.equal(seen[-1], plain[5].weight)


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


def test_crops_and_flips_happen_as_far_as_the_recipe_says() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
    plain = augment(pixels, replace(RECIPE, shift=0, mirror=False), np.random.default_rng(0))
    assert np.array_equal(plain, pixels)
    flipped = augment(pixels, replace(RECIPE, shift=0), np.random.default_rng(0))
    kept, mirrored = (flipped == pixels).all((1, 2, 3)), (flipped == pixels[:, :, ::-1]).all((1, 2, 3))
    assert (kept ^ mirrored).all()
    assert kept.any()
    assert mirrored.any()
    moved = augment(pixels, replace(RECIPE, shift=1, mirror=False), np.random.default_rng(0))
    inside = [moved[:, 1:7, 1:7] == pixels[:, 1 + y : 7 + y, 1 + x : 7 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)]
    assert np.stack(inside).all((2, 3, 4)).any(0).all()  # every picture is one of the nine crops


def test_a_supernet_step_trains_two_random_subnets_and_every_fourth_the_ends_of_the_space() -> None:
    from flatnas.space.spaces import mcu_space
    from flatnas.training.supernet_training import two_subnets_loss

    space = mcu_space(2)

    class Recorder:
        def __init__(self) -> None:
            self.space, self.seen = space, []

        def __call__(self, x: torch.Tensor, arch: object) -> torch.Tensor:
            self.seen.append((arch, x.shape[-1]))
            return torch.zeros(len(x), 2, requires_grad=True)

    recorder = Recorder()
    loss = two_subnets_loss(recorder, seed=0)  # type: ignore[arg-type]
    pixels, targets = np.zeros((4, 32, 32, 3), np.uint8), torch.full((4, 2), 0.5)
    counts = []
    for step in range(8):
        before = len(recorder.seen)
        value = loss(pixels, targets, step)
        counts.append(len(recorder.seen) - before)
        assert value.item() == pytest.approx(counts[-1] * np.log(2), rel=1e-5)
    assert counts == [4, 2, 2, 2, 4, 2, 2, 2]
    assert [arch for arch, _ in recorder.seen[2:4]] == [space.largest, space.smallest]
    assert {side for _, side in recorder.seen} <= set(space.resolutions)
    assert len({side for _, side in recorder.seen}) > 1
    again = Recorder()
    two_subnets_loss(again, seed=0)(pixels, targets, 0)  # type: ignore[arg-type]
    assert again.seen == recorder.seen[:4]
