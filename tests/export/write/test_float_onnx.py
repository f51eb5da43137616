"""torch -> float ONNX, against torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from export.graph import ExportError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from export.write.fold import fold_batch_norm  # noqa: E402
from export.write.to_onnx import to_onnx  # noqa: E402


def test_folding_batch_norm_leaves_the_function_as_it_was_and_no_batch_norm(exported: Any) -> None:
    folded, x = fold_batch_norm(exported.net), torch.tensor(exported.images_nchw)
    # relative to the largest logit: float32 sums in another order
    with torch.no_grad():
        expected = exported.net(x)
        torch.testing.assert_close(folded(x), expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_folding_works_on_a_copy(exported: Any) -> None:
    before = {name: value.clone() for name, value in exported.net.state_dict().items()}
    fold_batch_norm(exported.net)
    assert all(torch.equal(before[name], value) for name, value in exported.net.state_dict().items())


def test_the_float_onnx_computes_what_torch_computes_on_a_whole_batch(exported: Any) -> None:
    import onnxruntime as ort

    expected = exported.net(torch.tensor(exported.images_nchw)).detach().numpy()
    actual = ort.InferenceSession(exported.float_onnx.read_bytes()).run(None, {"image": exported.images_nchw})[0]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_zero_padding_becomes_the_convolutions_own(exported: Any) -> None:
    import onnx

    ops = {node.op_type for node in onnx.load(str(exported.float_onnx)).graph.node}
    assert ops == {"Conv", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm"}


def test_the_same_module_gives_the_same_bytes(exported: Any) -> None:
    shape = (1, 3, *exported.images_nchw.shape[2:])
    folded = fold_batch_norm(exported.net)
    assert to_onnx(folded, shape) == to_onnx(folded, shape)


def test_a_layer_without_an_onnx_form_is_named() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.PReLU())
    with pytest.raises(ExportError, match="'1' is a PReLU"):
        to_onnx(net.eval(), (1, 3, 8, 8))


class _PlusOne(nn.Module):
    def forward(self, x: Any) -> Any:
        return x + 1.0


_REFUSED: dict[str, Callable[[], Any]] = {
    "a constant added": _PlusOne,
    "padding before a pool": lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AdaptiveAvgPool2d(1)),
    "a layer called twice": lambda: nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 2),
}


@pytest.mark.parametrize("build", _REFUSED.values(), ids=_REFUSED.keys())
def test_what_cannot_be_written_is_refused_by_name(build: Callable[[], Any]) -> None:
    with pytest.raises(ExportError):
        to_onnx(build().eval(), (1, 3, 8, 8))
