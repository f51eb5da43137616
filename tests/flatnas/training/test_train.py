"""The training loop: what it learns, how its rate goes, what stops it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from small_training import RECIPE, small_net, two_colours  # noqa: E402

from flatnas.data.dataset import Images  # noqa: E402
from flatnas.errors import TrainingDivergedError  # noqa: E402
from flatnas.training.train import (  # noqa: E402
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


def test_a_held_rate_falls_only_at_the_end() -> None:
    recipe = replace(RECIPE, epochs=4, hold_epochs=3)
    assert recipe.rate(0) == pytest.approx(0.001)
    assert recipe.rate(0.125) == pytest.approx(0.051)  # halfway up
    assert recipe.rate(0.25) == recipe.rate(0.7) == 0.1
    assert recipe.rate(0.875) == pytest.approx(0.05)  # halfway down the cosine
    with pytest.raises(ValueError, match="the rate of 4 epochs can't be held for 4"):
        replace(RECIPE, epochs=4, hold_epochs=4)


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


def test_after_each_epoch_the_averaged_weights_are_shown_and_the_trained_ones_go_on() -> None:
    images, seen = two_colours(64), []
    recipe = replace(RECIPE, ema=0.9)
    watched, plain = small_net(), small_net()
    loss = cross_entropy(watched, 8, 0.0)
    train(watched, images, loss, recipe, after_epoch=lambda e: seen.append(watched[5].weight.detach().clone()))
    train(plain, images, cross_entropy(plain, 8, 0.0), recipe)
    assert len(seen) == recipe.epochs
    assert torch.equal(seen[-1], plain[5].weight)


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
