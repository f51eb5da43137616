from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flatnas.datasets import Images  # noqa: E402
from flatnas.flatness import accuracy_change, common_noise, flatness, gaussian_perturbations  # noqa: E402
from flatnas.spaces import mcu_space  # noqa: E402
from flatnas.supernet import Supernet  # noqa: E402


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
    with pytest.raises(ValueError, match="sigma must be greater than 0"):
        gaussian_perturbations([], sigma=0)


class Votes(torch.nn.Module):
    """Says class 1 for images brighter than its threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(threshold))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = (x.mean((1, 2, 3)) > self.threshold).float()
        return torch.stack([1 - bright, bright], 1)


def test_r_is_the_mean_absolute_change_of_accuracy() -> None:
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    pixels[2:] = 255
    images = Images(pixels, np.array([0, 0, 1, 1]))
    never = Votes(2.0)  # says class 0 always: right for 2 of 4; the middle threshold is right for all
    changes = accuracy_change(Votes(0.0), [lambda m: never, lambda m: m], images, resolution=8)
    assert changes == [0.5, 0.0]


def test_r_is_the_same_for_the_same_seed_and_grows_with_sigma() -> None:
    torch.manual_seed(0)
    supernet = Supernet(mcu_space(4))
    arch = supernet.space.smallest
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
    net = supernet.extract(arch).eval()
    with torch.no_grad():
        from flatnas.train import predict, recalibrate

        recalibrate(net, pixels, arch.resolution)
        labels = predict(net, pixels, arch.resolution).argmax(1)  # its own answers: accuracy 1
    images = Images(pixels, labels)
    small, again, large = (flatness(net, arch, common_noise(supernet, 4, seed=7), s, images) for s in (0.02, 0.02, 0.5))
    assert small == again
    assert 0 <= small.r < large.r <= 1
    assert large.ci95 > 0
