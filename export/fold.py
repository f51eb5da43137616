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
    import torch
    from torch import nn

    folded = copy.deepcopy(module).eval()
    for parent in folded.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        names = list(parent._modules)
        for first, second in pairwise(names):
            conv, bn = parent.get_submodule(first), parent.get_submodule(second)
            if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
                fused = torch.nn.utils.fuse_conv_bn_eval(conv, bn)
                parent._modules[first] = fused
                parent._modules[second] = nn.Identity()
    return folded
