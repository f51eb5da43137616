"""Batch-norm folding: a convolution and the batch norm behind it as one convolution with a bias.

    y = gamma * (w * x + b - mean) / sqrt(var + eps) + beta  =  (g * w) * x + (beta + g * (b - mean)),  g = gamma / sqrt(var + eps)

Jacob et al. 2018, arXiv 1712.05877, section 3.2. Computed in float64, so that folding adds one rounding to float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import fx, nn

from export.graph import ExportError


def fold_batch_norm(module: nn.Module) -> fx.GraphModule:
    """A copy of the network, in evaluation mode, without the batch norms that follow a convolution.

    Raises:
        ExportError: if a batch norm keeps no running statistics, or the module cannot be traced.
    """
    folded = trace(copy.deepcopy(module).eval())
    for conv_node, bn_node in list(_conv_bn_pairs(folded)):
        conv, bn = folded.get_submodule(str(conv_node.target)), folded.get_submodule(str(bn_node.target))
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(bn, nn.BatchNorm2d)
        if bn.running_mean is None or bn.running_var is None:
            raise ExportError(
                f"batch norm '{bn_node.target}' keeps no running statistics; recalibrate with track_running_stats=True"
            )
        _fold(conv, bn, bn.running_mean, bn.running_var)
        bn_node.replace_all_uses_with(conv_node)
        folded.graph.erase_node(bn_node)
    folded.delete_all_unused_submodules()
    folded.recompile()
    return folded


def trace(module: nn.Module) -> fx.GraphModule:
    """The module's graph; a module that was traced already keeps the one it has, and with it the names of its parts."""
    if isinstance(module, fx.GraphModule):
        return module
    try:
        return fx.symbolic_trace(module)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise ExportError(
            f"cannot trace {type(module).__name__}, whose forward may not depend on values: {error}"
        ) from error


def _conv_bn_pairs(traced: fx.GraphModule) -> Iterator[tuple[fx.Node, fx.Node]]:
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    for node in traced.graph.nodes:
        if node.op != "call_module" or not isinstance(traced.get_submodule(node.target), nn.BatchNorm2d):
            continue
        source = node.args[0]
        if not isinstance(source, fx.Node) or source.op != "call_module":
            continue
        # a convolution used twice, or read before its batch norm, has to stay as it is
        shared = len(source.users) > 1 or calls.count(source.target) > 1
        if isinstance(traced.get_submodule(str(source.target)), nn.Conv2d) and not shared:
            yield source, node


def _fold(conv: nn.Conv2d, bn: nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor) -> None:
    with torch.no_grad():
        gamma = torch.ones_like(mean) if bn.weight is None else bn.weight
        beta = torch.zeros_like(mean) if bn.bias is None else bn.bias
        bias = torch.zeros_like(mean) if conv.bias is None else conv.bias
        gain = gamma.double() / torch.sqrt(variance.double() + bn.eps)
        conv.weight = nn.Parameter((gain.reshape(-1, 1, 1, 1) * conv.weight.double()).to(conv.weight.dtype))
        conv.bias = nn.Parameter((beta.double() + gain * (bias.double() - mean.double())).to(conv.weight.dtype))
