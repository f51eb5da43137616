"""Sharpness-aware minimization, against gradients worked out by hand."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from small_training import small_net  # noqa: E402

from flatnas.training.sam import sam_backward  # noqa: E402


class Weights(torch.nn.Module):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


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
