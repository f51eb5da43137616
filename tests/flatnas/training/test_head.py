from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from flatnas.data.dataset import Dataset, Images  # noqa: E402
from flatnas.space.spaces import mcu_space  # noqa: E402
from flatnas.training.head import head_loss, head_recipe, train_head  # noqa: E402
from flatnas.training.supernet_training import new_supernet  # noqa: E402
from flatnas.training.train import balanced_error, predict, recalibrate, to_input  # noqa: E402


def tinted(n: int) -> Images:
    """Reddish or bluish noise: even random features tell these apart."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 150, (n, 16, 16, 3)), np.arange(n) % 2
    pixels[labels == 0, ..., 0] += 100
    pixels[labels == 1, ..., 2] += 100
    return Images(pixels.astype(np.uint8), labels)


TRAIN, VAL = tinted(64), tinted(40)
DATA = Dataset("tinted", ("red", "blue"), TRAIN, VAL, VAL, "0", mirrors=False, shift=1)


def test_only_the_classifier_learns_and_everything_can_learn_afterwards() -> None:
    supernet = new_supernet(mcu_space(2, 16), seed=0)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    train_head(supernet, DATA, head_recipe(40, seed=0, data=DATA))
    changed = {name for name, value in supernet.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert all(parameter.requires_grad for parameter in supernet.parameters())


def test_a_subnet_tells_classes_apart_by_features_that_never_learned() -> None:
    supernet = new_supernet(mcu_space(2, 16), seed=0)
    torch.nn.init.zeros_(supernet.classifier.weight)
    train_head(supernet, DATA, head_recipe(40, seed=0, data=DATA))
    arch = supernet.space.smallest
    net = supernet.extract(arch)
    recalibrate(net, TRAIN.pixels_nhwc, arch.resolution)
    assert balanced_error(predict(net, VAL.pixels_nhwc, arch.resolution), VAL.labels) < 0.2


def test_the_number_of_steps_does_not_hang_on_the_number_of_pictures() -> None:
    few, many = head_recipe(400, seed=0, data=DATA), tinted(3200)
    more = head_recipe(400, seed=0, data=Dataset("more", ("a", "b"), many, VAL, VAL, "0"))
    assert (few.batch_size, few.epochs) == (32, 200)  # 2 steps an epoch
    assert (more.batch_size, more.epochs) == (64, 8)  # 50 steps an epoch


def test_a_step_is_of_the_largest_the_smallest_and_a_random_subnet_with_weighted_classes() -> None:
    space, seen = mcu_space(2, 16), []

    class Recorder:
        def __init__(self) -> None:
            self.space = space

        def __call__(self, x: torch.Tensor, arch: object) -> torch.Tensor:
            seen.append((arch, x))
            return torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])

    labels = torch.tensor([0, 0, 1])
    loss = head_loss(Recorder(), 0, np.array([0.5, 3.0], np.float32))  # type: ignore[arg-type]
    value = loss(TRAIN.pixels_nhwc[:3], labels, 0)
    assert [arch for arch, _ in seen[:2]] == [space.largest, space.smallest]
    assert seen[2][0] in space
    assert len(seen) == 3
    side = seen[0][1].shape[-1]
    assert side in space.resolutions
    assert torch.equal(seen[2][1], to_input(TRAIN.pixels_nhwc[:3], side, torch.device("cpu")))
    wrong, right = functional.softplus(torch.tensor(1.0)), functional.softplus(torch.tensor(-1.0))
    assert value.item() == pytest.approx(3 * float((2 * 0.5 * wrong + 3 * right) / 4))


def test_a_killed_training_of_a_head_ends_with_the_same_weights(tmp_path: Path, kept_after_every_step: None) -> None:
    whole, recipe = new_supernet(mcu_space(2, 16), seed=0), head_recipe(54, seed=0, data=DATA)
    train_head(whole, DATA, recipe)

    class KilledError(Exception):
        pass

    def kill(step: int, steps: int, loss: float) -> None:
        if step == 52:
            raise KilledError

    cut, path = new_supernet(mcu_space(2, 16), seed=0), tmp_path / "training.safetensors"
    with pytest.raises(KilledError):
        train_head(cut, DATA, recipe, checkpoint=path, progress=kill)
    resumed, steps = new_supernet(mcu_space(2, 16), seed=1), list[int]()
    train_head(resumed, DATA, recipe, checkpoint=path, progress=lambda s, n, v: steps.append(s))
    assert steps[0] == 52
    assert torch.equal(resumed.classifier.weight, whole.classifier.weight)
