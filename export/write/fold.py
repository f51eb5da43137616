"""Batch-norm folding: a convolution and the batch norm after it are one convolution with a bias.

w' = w * gamma / sqrt(var + eps),  b' = beta - mean * gamma / sqrt(var + eps)
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy in which every (Conv2d, BatchNorm2d) pair of neighbours in a Sequential is one Conv2d; in eval mode."""
    return fold_in_place(copy.deepcopy(module))


def fold_in_place(module: nn.Module) -> nn.Module:
    """The same without the copy: the module itself is folded, and handed back."""
    from torch import nn
    from torch.nn.utils import fuse_conv_bn_weights

    for parent in module.eval().modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for first, second in pairwise(list(parent._modules)):
            conv, bn = parent.get_submodule(first), parent.get_submodule(second)
            if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
                assert bn.running_mean is not None
                assert bn.running_var is not None
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
                )
                parent._modules[second] = nn.Identity()
    return module
