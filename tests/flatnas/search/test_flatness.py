from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from export.write.fold import fold_batch_norm, fold_in_place  # noqa: E402
from flatnas.data.dataset import Dataset, Images  # noqa: E402
from flatnas.data.resize import Pixels  # noqa: E402
from flatnas.errors import DataError  # noqa: E402
from flatnas.nets.supernet import Supernet  # noqa: E402
from flatnas.search.evaluation import Effort, InheritedEvaluator  # noqa: E402
from flatnas.search.flatness import Perturb, flatness, gaussian_perturbations, recalibrated  # noqa: E402
from flatnas.search.measured import Measured  # noqa: E402
from flatnas.search.paper import PublishedEffort, TrainedEvaluator  # noqa: E402
from flatnas.search.replica import replica  # noqa: E402
from flatnas.space.spaces import mcu_space  # noqa: E402
from flatnas.training.train import predict, recalibrate  # noqa: E402
from pipeline.rounding import rounding  # noqa: E402

SPACE = mcu_space(4)


def constant(value: float) -> torch.nn.Module:
    module = torch.nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(value)
        module.bias.fill_(value)
    return module


def test_the_noise_is_multiplicative_on_every_parameter_and_leaves_the_original() -> None:
    module = constant(2.0)
    moved = gaussian_perturbations([constant(3.0)], sigma=0.1)[0](module)
    assert [p.item() for p in moved.parameters()] == pytest.approx([2 * 1.3, 2 * 1.3])
    assert [p.item() for p in module.parameters()] == [2, 2]


@pytest.mark.parametrize("sigma", [0.0, -0.1, 1.5])
def test_a_sigma_out_of_range_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"sigma must be in \(0, 1\]"):
        gaussian_perturbations([], sigma)


class Votes(torch.nn.Module):
    """Says class 1 for images brighter than its threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(threshold))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = (x.mean((1, 2, 3)) > self.threshold).float()
        return torch.stack([1 - bright, bright], 1)


def grey(levels: np.ndarray, labels: np.ndarray) -> Images:
    pixels = np.repeat(np.asarray(levels, np.uint8)[:, None, None, None], 8, 1).repeat(8, 2).repeat(3, 3)
    return Images(pixels, labels)


def test_r_is_the_mean_absolute_change_of_accuracy() -> None:
    images = grey(np.array([0, 0, 255, 255]), np.array([0, 0, 1, 1]))
    never = Votes(2.0)  # says class 0 always: right for 2 of 4; the middle threshold is right for all
    found = flatness(Votes(0.0), {"worse": [lambda m: never], "both": [lambda m: never, lambda m: m]}, images, 8)
    assert [(f.perturbation, f.r) for f in found] == [("worse", 0.5), ("both", 0.25)]


def test_the_interval_covers_the_r_of_all_images_in_nine_of_ten_nets() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, 5000)
    covered = 0
    for net in range(50):
        labels = (levels + rng.normal(0, 60, 5000) > 128).astype(np.int64)
        everything = grey(levels, labels)
        shifts = rng.normal(0, 0.1, 10)
        perturbations = {"shift": [lambda m, s=s: Votes(float(m.threshold.detach()) + s) for s in shifts]}
        (whole,) = flatness(Votes(0.0), perturbations, everything, 8)
        (part,) = flatness(Votes(0.0), perturbations, everything.subset(500, seed=net), 8)
        covered += part.low <= whole.r <= part.high
    assert covered >= 45


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    net = Supernet(SPACE)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net


@pytest.fixture(scope="module")
def data(supernet: Supernet, unseen: Images) -> Dataset:
    """Noise pictures, labelled by the smallest subnet: its own accuracy is 1."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
    net = supernet.extract(SPACE.smallest)
    recalibrate(net, pixels, SPACE.smallest.resolution)
    images = Images(pixels, predict(net, pixels, SPACE.smallest.resolution).argmax(1))
    return Dataset("noise", tuple("abcd"), images, images, unseen, "0")


def evaluator(supernet: Supernet, data: Dataset, seed: int = 7) -> InheritedEvaluator:
    effort = Effort(64, 64, 4, 64)
    return InheritedEvaluator(supernet, data, effort, sigmas=(0.02, 0.5), seed=seed, fold=fold_in_place)


def evaluate(supernet: Supernet, data: Dataset, seed: int = 7) -> Measured:
    return evaluator(supernet, data, seed)(SPACE.smallest)


def test_another_process_measures_the_same(supernet: Supernet, data: Dataset) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        (elsewhere,) = pool.map(evaluator(supernet, data), [SPACE.smallest])
    assert elsewhere == evaluate(supernet, data)


def test_a_subnet_measured_twice_with_one_seed_measures_the_same(supernet: Supernet, data: Dataset) -> None:
    first = evaluate(supernet, data)
    assert evaluate(supernet, data) == first
    assert evaluate(supernet, data, seed=8) != first


def test_the_published_protocol_trains_a_subnet_before_it_measures_it(supernet: Supernet, data: Dataset) -> None:
    wrong = (data.train.labels + 1) % 4  # of what the inherited weights say
    images = Images(data.train.pixels_nhwc, wrong)
    relabelled = replace(data, train=images, val=images)
    effort = PublishedEffort(epochs=6, r_images=1000, r_draws=20)
    judge = TrainedEvaluator(supernet, relabelled, effort=effort, seed=0, fold=fold_in_place)
    trained = judge(SPACE.smallest)
    assert evaluate(supernet, relabelled).clean_error == 1
    assert trained.clean_error < 0.9
    assert [f.perturbation for f in trained.flatness] == ["gaussian-0.05"]
    assert judge(SPACE.smallest) == trained


def test_r_grows_with_sigma_and_the_clean_error_is_right(supernet: Supernet, data: Dataset) -> None:
    measured = evaluate(supernet, data)
    assert measured.clean_error == 0
    small, large = measured.flatness
    assert (small.perturbation, large.perturbation) == ("gaussian-0.02", "gaussian-0.5")
    assert 0 <= small.r < large.r <= 1
    assert large.low < large.r


def test_the_error_under_the_corruptions_that_may_select_is_measured_where_asked_for(
    supernet: Supernet, data: Dataset
) -> None:
    from flatnas.corruptions import SELECTING_CORRUPTIONS, STANDARD_15, corrupt
    from flatnas.training.train import classification_error, predict, recalibrate

    assert not set(SELECTING_CORRUPTIONS) & set(STANDARD_15)
    effort = Effort(64, 64, 4, 64, corrupted_images=16)
    measured = InheritedEvaluator(supernet, data, effort, sigmas=(0.5,), seed=7, fold=fold_in_place)(SPACE.smallest)
    net, chosen, errors = supernet.extract(SPACE.smallest), data.val.subset(16), []
    recalibrate(net, data.train.subset(64).pixels_nhwc, SPACE.smallest.resolution)
    for name in ("speckle_noise", "gaussian_blur", "spatter", "saturate"):
        for severity in (2, 4):
            pixels = corrupt(chosen.pixels_nhwc, name, severity, range(16), 7)
            errors.append(classification_error(predict(net, pixels, SPACE.smallest.resolution), chosen.labels))
    assert measured.corrupted_error == pytest.approx(np.mean(errors))
    assert evaluate(supernet, data).corrupted_error is None


def test_a_rounding_is_calibrated_at_the_subnets_own_resolution(supernet: Supernet, data: Dataset) -> None:
    sides = []

    def recording(calibration_nhwc: Pixels) -> Perturb:
        sides.append(calibration_nhwc.shape[1:3])
        return rounding(calibration_nhwc, bits=8)

    measure = InheritedEvaluator(
        supernet, data, Effort(64, 64, 4, 64), sigmas=(), seed=7, fold=fold_in_place, roundings={"int8": recording}
    )
    measure(SPACE.smallest)
    assert SPACE.smallest.resolution < data.train.pixels_nhwc.shape[1]
    assert sides == [(SPACE.smallest.resolution,) * 2]


def test_no_validation_images_are_an_error(supernet: Supernet, data: Dataset) -> None:
    empty = Dataset("noise", data.class_names, data.train, data.val.take(slice(0)), data.test, "0")
    with pytest.raises(DataError, match="'noise' has no validation images"):
        evaluate(supernet, empty)


def test_batch_norm_recalibrated_under_noise_forgets_a_scale(supernet: Supernet, data: Dataset) -> None:
    net = supernet.extract(SPACE.smallest)
    recalibrate(net, data.train.pixels_nhwc, SPACE.smallest.resolution)

    def louder(module: torch.nn.Module) -> torch.nn.Module:
        moved = supernet.extract(SPACE.smallest)
        moved.load_state_dict(module.state_dict())
        with torch.no_grad():
            moved.stem.conv.weight.mul_(3)  # the batch norm after it can take this back
        return moved

    calm = recalibrated(louder, data.train.pixels_nhwc, SPACE.smallest.resolution)
    plain, undone = flatness(net, {"plain": [louder], "undone": [calm]}, data.val, SPACE.smallest.resolution)
    assert plain.r > 0.1
    assert undone.r == 0


def test_r_is_measured_with_and_without_batch_norm_recalibration(supernet: Supernet, data: Dataset) -> None:
    measure = InheritedEvaluator(
        supernet, data, Effort(64, 64, 4, 64), sigmas=(0.5,), seed=7, fold=fold_in_place, recalibrated=True
    )
    plain, recalibrated = measure(SPACE.smallest).flatness
    assert (plain.perturbation, recalibrated.perturbation) == ("gaussian-0.5", "recalibrated-gaussian-0.5")
    assert plain == evaluate(supernet, data).flatness[1]
    assert 0 < recalibrated.r < plain.r


def test_rounding_to_fewer_bits_moves_the_logits_more(supernet: Supernet, data: Dataset) -> None:
    arch = SPACE.largest
    net = supernet.extract(arch)
    recalibrate(net, data.train.pixels_nhwc, arch.resolution)
    logits = predict(net, data.val.pixels_nhwc, arch.resolution)
    far = []
    for bits in (8, 4, 2):
        rounded = rounding(data.train.pixels_nhwc, bits=bits)(net)
        far.append(float(np.abs(predict(rounded, data.val.pixels_nhwc, arch.resolution) - logits).mean()))
    assert 0 < far[0] < far[1] < far[2]
    assert far[0] < 0.2 * float(logits.std())
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        rounding(data.train.pixels_nhwc, bits=16)


def test_a_replica_computes_the_same_and_shares_nothing_that_changes(supernet: Supernet, data: Dataset) -> None:
    arch, pixels = SPACE.largest, data.val.pixels_nhwc
    net = supernet.extract(arch)
    recalibrate(net, pixels, arch.resolution)
    logits = predict(net, pixels, arch.resolution)
    twin = replica(net)
    assert np.array_equal(predict(twin, pixels, arch.resolution), logits)
    assert np.array_equal(
        predict(fold_in_place(twin), pixels, arch.resolution), predict(fold_batch_norm(net), pixels, 32)
    )
    moved, seen = replica(net), []
    moved.head.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    recalibrate(moved, 255 - pixels, arch.resolution)  # other statistics
    seen.clear()
    with torch.no_grad():
        for tensor in moved.parameters():
            tensor.zero_()
    assert np.array_equal(predict(net, pixels, arch.resolution), logits)
    assert not seen
