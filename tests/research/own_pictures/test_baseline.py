from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from research.own_pictures.baseline import plain_macs, plain_net  # noqa: E402


@pytest.mark.parametrize(("side", "most"), [(28, 3_000_000), (64, 12_500_000), (96, 6_650_000)])
def test_the_plain_net_is_the_widest_within_its_macs(side: int, most: int) -> None:
    from fvcore.nn import FlopCountAnalysis

    net = plain_net(3, side, most).eval()
    x = torch.zeros(1, 3, side, side)
    counted = FlopCountAnalysis(net, x).unsupported_ops_warnings(False).by_operator()
    macs = counted["conv"] + counted["linear"]
    width = net[0].conv.out_channels
    assert macs == plain_macs(width, 3, side) <= most < plain_macs(width + 4, 3, side)
    assert net(x).shape == (1, 3)
