from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flatnas.errors import SupernetError  # noqa: E402
from flatnas.nets.supernet import Supernet, noise_like  # noqa: E402
from flatnas.nets.supernet_file import load_supernet, read_class_names, read_space, serialize_supernet, with_new_head  # noqa: E402
from flatnas.space.arch import SearchSpace  # noqa: E402
from flatnas.space.lowering import lower  # noqa: E402
from flatnas.space.spaces import mcu_space, mobile_space  # noqa: E402

SPACE = mcu_space(10)


def supernet(space: SearchSpace = SPACE) -> Supernet:
    torch.manual_seed(0)
    net = Supernet(space)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize("space", [SPACE, mcu_space(10, 24, "hard_swish"), mobile_space(10, 40)])
def test_an_extracted_subnet_computes_what_the_supernet_does(space: SearchSpace) -> None:
    net, rng = supernet(space), np.random.default_rng(0)
    for arch in (space.smallest, space.largest, *(space.sample(rng) for _ in range(4))):
        x = torch.randn(8, 3, arch.resolution, arch.resolution)
        subnet = net.extract(arch).train()  # batch statistics, as the supernet uses
        torch.testing.assert_close(subnet(x), net(x, arch), rtol=1e-3, atol=1e-3)


def test_a_stage_adds_its_input_at_its_entry_only_in_the_space_of_version_0_1() -> None:
    assert SPACE.smallest.stem == SPACE.smallest.stages[0].channels  # so that the shapes would allow it
    for space, adds in ((SPACE, False), (mcu_space(10, entry_residuals=True), True)):
        entry = supernet(space).extract(space.smallest).blocks[0]
        assert entry.residual is adds
        assert any(op.kind == "add" for op in lower(space, space.smallest)) is adds
    assert supernet().extract(SPACE.largest).blocks[1].residual


def test_a_subnet_is_a_copy() -> None:
    net = supernet()
    subnet = net.extract(SPACE.smallest)
    before = net.stem.weight.clone()
    with torch.no_grad():
        next(subnet.parameters()).zero_()
    assert torch.equal(net.stem.weight, before)


def test_two_subnets_meet_the_same_noise_where_they_share_weights() -> None:
    noise = noise_like(supernet(), seed=3)
    small, large = noise.extract(SPACE.smallest), noise.extract(SPACE.largest)
    inner = large.blocks[0].depthwise.conv.weight[:8, :, 2:5, 2:5]  # the centre of 7x7, the first channels
    assert torch.equal(small.blocks[0].depthwise.conv.weight, inner)
    assert torch.equal(small.stem.conv.weight, large.stem.conv.weight[:8])
    values = torch.cat([p.detach().flatten() for p in noise.parameters()])
    assert abs(float(values.mean())) < 0.01
    assert abs(float(values.std()) - 1) < 0.01


def test_a_new_head_keeps_the_features_and_knows_nothing_yet() -> None:
    net = supernet()
    adapted = with_new_head(net, 3, 48)
    assert adapted.space.resolutions[-1] == 48
    assert adapted.space.num_classes == 3
    assert torch.equal(adapted.head.weight, net.head.weight)
    x = torch.randn(2, 3, 24, 24)
    assert torch.equal(adapted(x, SPACE.smallest), torch.zeros(2, 3))


def test_a_supernet_file_is_read_back_in_half_precision(tmp_path: Path) -> None:
    net = supernet()
    path = tmp_path / "net.safetensors"
    path.write_bytes(serialize_supernet(net))
    read = load_supernet(path)
    for a, b in zip(net.parameters(), read.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert read_class_names(path) == ()


def test_a_supernet_file_tells_the_classes_it_was_trained_for(tmp_path: Path) -> None:
    net, names = supernet(), tuple("abcdefghij")
    path = tmp_path / "net.safetensors"
    path.write_bytes(serialize_supernet(net, names))
    assert read_class_names(path) == names
    assert read_space(path) == net.space


def test_a_damaged_or_foreign_supernet_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(serialize_supernet(supernet())[:1000])
    with pytest.raises(SupernetError, match="can't be read as safetensors"):
        load_supernet(damaged)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(SupernetError, match="names neither its space"):
        load_supernet(foreign)
    other = tmp_path / "other.safetensors"
    save_file(
        {"x": torch.zeros(1)}, other, metadata={"space": '{"name": "mobile", "num_classes": 10, "resolution": 32}'}
    )
    with pytest.raises(SupernetError, match="unknown search space 'mobile'"):
        load_supernet(other)


def test_weights_of_another_space_are_refused_by_name(tmp_path: Path) -> None:
    import json

    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    weights = {name: value.contiguous() for name, value in supernet(mobile_space(10, 40)).state_dict().items()}
    save_file(weights, path, metadata={"space": json.dumps({"name": "mcu", "num_classes": 10, "resolution": 32})})
    with pytest.raises(SupernetError, match="holds other weights than space 'mcu' has"):
        load_supernet(path)


def test_a_supernet_is_trained_on_images_augmented_as_the_data_allow() -> None:
    from flatnas.data.digits import load_digits
    from flatnas.training.supernet_training import adapting_recipe, released_recipe

    for recipe in (adapting_recipe(1, 0, load_digits()), released_recipe(1, 0, load_digits())):
        assert (recipe.mirror, recipe.shift) == (False, 2)  # a mirrored 2 is no digit


@pytest.mark.parametrize("value", [float("nan"), 1e6])  # 1e6 is beyond float16
def test_a_supernet_that_diverged_is_not_written(value: float) -> None:
    net = supernet()
    with torch.no_grad():
        net.classifier.bias[0] = value
    with pytest.raises(SupernetError, match=r"'classifier.bias' is not finite in float16"):
        serialize_supernet(net)


def test_a_supernet_file_that_holds_nan_is_refused(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load, save_file

    content = serialize_supernet(supernet())
    (tmp_path / "good.safetensors").write_bytes(content)
    tensors = load(content)
    tensors["classifier.bias"][0] = float("nan")
    with safe_open(tmp_path / "good.safetensors", "pt") as file:
        save_file(tensors, tmp_path / "bad.safetensors", file.metadata())
    with pytest.raises(SupernetError, match=r"bad.safetensors is damaged: 'classifier.bias'"):
        load_supernet(tmp_path / "bad.safetensors")
