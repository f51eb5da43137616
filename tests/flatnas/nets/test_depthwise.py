from __future__ import annotations

import time

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from flatnas.nets.depthwise import depthwise_conv2d, quick_depthwise  # noqa: E402
from flatnas.search.replica import replica  # noqa: E402


def gradients(conv2d, x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[Tensor, Tensor, Tensor]:
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = conv2d(x, weight, stride, padding)
    y.backward(torch.cos(torch.arange(y.numel(), dtype=torch.float32)).view_as(y))
    return y.detach(), x.grad, weight.grad


def of_torch(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    return functional.conv2d(x, weight, stride=stride, padding=padding, groups=len(weight))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "padding"), [(5, 2), (7, 3), (7, 0), (5, 4)])
@pytest.mark.parametrize(("images", "channels", "height", "width"), [(1, 1, 7, 7), (5, 3, 9, 12), (8, 40, 24, 24)])
def test_its_gradients_are_those_of_torch(
    images: int, channels: int, height: int, width: int, kernel: int, padding: int, stride: int, threads: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, channels, height, width, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = gradients(depthwise_conv2d, x, weight, stride, padding)
    finally:
        torch.set_num_threads(before)
    for found, expected in zip(ours, gradients(of_torch, x, weight, stride, padding), strict=True):
        assert found.shape == expected.shape
        # float32 sums of up to 8 * 24 * 24 products in another order
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_a_gradient_of_memory_in_another_order_is_the_same() -> None:
    x, weight = torch.randn(3, 8, 6, 6), torch.randn(8, 1, 5, 5)
    ours = gradients(depthwise_conv2d, x, weight, 1, 2)
    again = gradients(depthwise_conv2d, x.to(memory_format=torch.channels_last), weight, 1, 2)
    torch.testing.assert_close(ours[2], again[2])


def test_a_loss_that_is_not_finite_stays_so() -> None:
    weight = torch.randn(4, 1, 5, 5, requires_grad=True)
    x = torch.randn(2, 4, 6, 6)
    x[1, 2, 3, 3] = torch.nan
    depthwise_conv2d(x, weight, 1, 2).sum().backward()
    assert weight.grad is not None
    assert torch.isnan(weight.grad[2]).any()
    assert torch.isfinite(weight.grad[[0, 1, 3]]).all()


def test_a_network_trains_by_it_and_is_plain_again_afterwards() -> None:
    net = nn.Sequential(nn.Conv2d(8, 8, 7, 2, 3, groups=8, bias=False), nn.Conv2d(8, 4, 1))
    x = torch.randn(2, 8, 12, 12)
    expected = torch.autograd.grad(net(x).square().sum(), list(net.parameters()))
    names, layer = list(net.state_dict()), net[0]
    with quick_depthwise(net):
        assert list(net.state_dict()) == names
        assert "DepthwiseConv2d" in str(net[0](x).grad_fn)
        found = torch.autograd.grad(net(x).square().sum(), list(net.parameters()))
    assert net[0] is layer
    assert "DepthwiseConv2d" not in str(net[0](x).grad_fn)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_copy_made_during_a_training_has_weights_of_its_own() -> None:
    net = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False))
    with quick_depthwise(net):
        copy = replica(net)
    x = torch.randn(2, 8, 6, 6)
    before = net(x)
    with torch.no_grad():
        copy[0].weight.zero_()
    assert not copy(x).any()
    assert torch.equal(net(x), before)


def test_other_convolutions_are_left_to_torch() -> None:
    dense, biased = nn.Conv2d(4, 4, 5, padding=2), nn.Conv2d(4, 4, 5, padding=2, groups=4)
    dilated = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False, dilation=2)
    oblong = nn.Conv2d(4, 4, (5, 3), groups=4, bias=False)
    net = nn.ModuleList([dense, biased, dilated, oblong])
    with quick_depthwise(net):
        for layer in net:
            assert "DepthwiseConv2d" not in str(layer(torch.randn(1, 4, 12, 12)).grad_fn)


@pytest.mark.benchmark
def test_it_trains_faster_than_torch_alone() -> None:
    layer = nn.Sequential(nn.Conv2d(128, 128, 7, padding=3, groups=128, bias=False))
    x = torch.randn(128, 128, 12, 12).to(memory_format=torch.channels_last)

    def seconds() -> float:
        taken = []
        for _ in range(10):
            start = time.perf_counter()
            layer(x).sum().backward()
            taken.append(time.perf_counter() - start)
        return sorted(taken)[5]

    alone = seconds()
    with quick_depthwise(layer):
        assert seconds() < 0.75 * alone
