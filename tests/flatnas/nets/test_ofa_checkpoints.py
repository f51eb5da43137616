"""OFA's own package is the oracle: it builds the network, writes the checkpoint and takes the subnets out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from flatnas.errors import SupernetError
from flatnas.space.arch import Arch

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from torch import Tensor, nn

RESOLUTION = 40


def oracle(width: float, kernels: tuple[int, ...] = (3, 5, 7)) -> Any:
    """OFA's supernet with random weights, batch norms and kernel matrices."""
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    torch.manual_seed(0)
    net = OFAMobileNetV3(
        n_classes=7,
        dropout_rate=0,
        width_mult=width,
        ks_list=list(kernels),
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("matrix"):
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif ".bn." in name:
                parameter.copy_(torch.rand_like(parameter) + (0.5 if name.endswith("weight") else -0.5))
    return net


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("ofa") / "w1.pth"
    torch.save({"state_dict": oracle(1.0).state_dict()}, path)
    return path


def activate(net: Any, arch: Arch) -> None:
    """Choose the subnet of these genes; OFA's has genes for blocks that depth cuts off, too."""
    blocks = [b for stage in arch.stages[1:] for b in (*stage.blocks, *stage.blocks[-1:] * (4 - len(stage.blocks)))]
    net.set_active_subnet(
        [b.kernel for b in blocks], [b.expand for b in blocks], [len(stage.blocks) for stage in arch.stages[1:]]
    )


def recalibrate_both(theirs: nn.Module, ours: nn.Module, x: Tensor) -> None:
    """The statistics of this batch in theirs, and the same ones in ours; both in eval mode."""
    norms = [[m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)] for net in (theirs, ours)]
    for norm in norms[0]:
        norm.momentum = 1.0
    theirs.train()(x)
    for source, target in zip(*norms, strict=True):
        target.running_mean.copy_(source.running_mean)
        target.running_var.copy_(source.running_var)
    theirs.eval()
    ours.eval()


def distance(logits: Tensor, expected: Tensor) -> float:
    """Largest difference, as a fraction of the largest logit."""
    return float((logits - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("width", [1.0, 1.2])
def test_50_random_subnets_equal_those_of_ofas_package(width: float, tmp_path: Path) -> None:
    from flatnas.nets.ofa_checkpoints import read_ofa_checkpoint

    net = oracle(width)
    torch.save({"state_dict": net.state_dict()}, tmp_path / "ofa.pth")
    supernet = read_ofa_checkpoint(tmp_path / "ofa.pth")
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(50):
            arch = supernet.space.sample(rng)
            activate(net, arch)
            theirs, ours = net.get_active_subnet(), supernet.extract(arch)
            recalibrate_both(theirs, ours, torch.randn(4, 3, RESOLUTION, RESOLUTION, generator=generator))
            x = torch.randn(2, 3, RESOLUTION, RESOLUTION, generator=generator)
            assert distance(ours(x), theirs(x)) < 1e-5, arch


@pytest.mark.parametrize("width", [1.0, 1.2])
def test_the_shared_weights_compute_what_ofas_supernet_computes_in_training(width: float, tmp_path: Path) -> None:
    from flatnas.nets.ofa_checkpoints import read_ofa_checkpoint

    net = oracle(width)
    torch.save({"state_dict": net.state_dict()}, tmp_path / "ofa.pth")
    # batch norms over so few values enlarge float32's rounding, and every layer again: so in float64
    supernet, net = read_ofa_checkpoint(tmp_path / "ofa.pth").double(), net.double().train()
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(3):
            arch = supernet.space.sample(rng)
            activate(net, arch)
            x = torch.randn(4, 3, RESOLUTION, RESOLUTION, generator=generator, dtype=torch.float64)
            assert distance(supernet(x, arch), net(x)) < 1e-10, arch


def test_every_gene_of_the_space_is_one_of_ofas(checkpoint: Path) -> None:
    from flatnas.nets.ofa_checkpoints import read_ofa_checkpoint

    space, net = read_ofa_checkpoint(checkpoint).space, oracle(1.0)
    assert {(s.depths, s.kernels, s.expands) for s in space.stages[1:]} == {((2, 3, 4), (3, 5, 7), (3, 4, 6))}
    assert (net.depth_list, net.ks_list, net.expand_ratio_list) == ([2, 3, 4], [3, 5, 7], [3, 4, 6])
    assert (space.resolutions[0], space.resolutions[-1], space.num_classes) == (128, 224, 7)


def test_a_folded_supernet_takes_our_input_where_ofas_took_imagenets(checkpoint: Path) -> None:
    from flatnas.nets.ofa_checkpoints import load_ofa_checkpoint

    stem = oracle(1.0).first_conv.conv
    pixels = np.random.default_rng(0).integers(0, 256, (2, 33, 33, 3))
    scaled = (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    x, y = (torch.from_numpy(p.transpose(0, 3, 1, 2)).float() for p in (scaled, (pixels - 128) / 128))
    folded = load_ofa_checkpoint(checkpoint).stem.sliced_weight(3, 16, 3)
    with torch.no_grad():
        difference = stem(x) - torch.nn.functional.conv2d(y, folded, stride=2, padding=1)
        inside = difference[:, :, 1:-1, 1:-1]  # of odd images, both ends reach into the padding
        # a grey of 128 is what our padding is, and so the shift is OFA's answer to a grey image
        grey = (128 / 255 - torch.tensor((0.485, 0.456, 0.406))) / torch.tensor((0.229, 0.224, 0.225))
        shift = torch.einsum("oikl,i->o", stem.weight, grey)
        assert torch.allclose(inside, shift.view(1, -1, 1, 1).expand_as(inside), atol=1e-5)
        assert (difference - shift.view(1, -1, 1, 1))[:, :, 0].abs().max() > 0.01  # the border is told, not hidden


def test_older_names_and_a_bare_state_dict_are_read_alike(checkpoint: Path, tmp_path: Path) -> None:
    from flatnas.nets.ofa_checkpoints import read_ofa_checkpoint

    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    renamed = {
        n.replace(".conv.", ".mobile_inverted_conv.", 1) if n.startswith("blocks.") else n: t for n, t in state.items()
    }
    torch.save(renamed, tmp_path / "old")  # the published files have no suffix
    expected = read_ofa_checkpoint(checkpoint).state_dict()
    found = read_ofa_checkpoint(tmp_path / "old").state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def _drop(state: dict[str, Any]) -> None:
    del state["blocks.7.conv.depth_conv.se.fc.reduce.bias"]


def _add(state: dict[str, Any]) -> None:
    state["blocks.99.conv.weight"] = torch.zeros(1)


def _reshape(state: dict[str, Any]) -> None:
    state["first_conv.conv.weight"] = torch.zeros(16, 1, 3, 3)


def _spoil(state: dict[str, Any]) -> None:
    state["blocks.20.conv.point_linear.conv.conv.weight"][0, 0] = torch.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, r"lacks 'blocks\.7\.conv\.depth_conv\.se\.fc\.reduce\.bias'"),
        (_add, r"has 'blocks\.99\.conv\.weight': it is no supernet of OFA's MobileNetV3"),
        (_reshape, r"'first_conv\.conv\.weight' has shape \(16, 1, 3, 3\).*it has \(16, 3, 3, 3\)"),
        (_spoil, r"is damaged: 'blocks\.20\.conv\.point_linear\.conv\.weight' holds numbers that are not finite"),
    ],
)
def test_a_changed_checkpoint_names_the_tensor(
    change: Callable[[dict[str, Any]], None], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    from flatnas.nets.ofa_checkpoints import read_ofa_checkpoint

    content = torch.load(checkpoint, weights_only=True)
    change(content["state_dict"])
    torch.save(content, tmp_path / "changed.pth")
    with pytest.raises(SupernetError, match=message) as caught:
        read_ofa_checkpoint(tmp_path / "changed.pth")
    assert "\n" not in str(caught.value)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    from flatnas.nets.ofa_checkpoints import read_ofa_checkpoint

    path = tmp_path / "other.pth"
    torch.save(oracle(1.3).state_dict(), path)
    with pytest.raises(SupernetError, match=r"another width.*1248 channels.*960 \(width 1\.0\), 1152 \(width 1\.2\)"):
        read_ofa_checkpoint(path)
    torch.save(oracle(1.0, (7,)).state_dict(), path)  # what OFA's training starts from: no matrices yet
    with pytest.raises(SupernetError, match=r"lacks 'blocks\.1\.conv\.depth_conv\.conv\.(5to3|7to5)_matrix'"):
        read_ofa_checkpoint(path)
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(SupernetError, match=r"no supernet of OFA's MobileNetV3: it lacks 'classifier\.linear\.bias'"):
        read_ofa_checkpoint(path)
    torch.save({"state_dict": [1, 2]}, path)
    with pytest.raises(SupernetError, match="holds no state dict"):
        read_ofa_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
def test_a_foreign_or_cut_off_file_is_refused_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    from flatnas.nets.ofa_checkpoints import read_ofa_checkpoint

    content, path = checkpoint.read_bytes(), tmp_path / "x.pth"
    rng = np.random.default_rng(0)
    for broken in (b"", b"no checkpoint", content[:100], content[:-100], *(rng.bytes(n) for n in (1, 50, 3000))):
        path.write_bytes(broken)
        with pytest.raises(SupernetError, match=r"x\.pth is no checkpoint that torch\.save wrote") as caught:
            read_ofa_checkpoint(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(SupernetError, match="can't be read: No such file"):
        read_ofa_checkpoint(tmp_path / "missing.pth")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    from flatnas.nets.ofa_checkpoints import read_ofa_checkpoint

    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")  # a pickled object, not weights
    with pytest.raises(SupernetError, match=r"is no checkpoint that torch\.save wrote"):
        read_ofa_checkpoint(tmp_path / "module.pth")
