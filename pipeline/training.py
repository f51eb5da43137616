"""A subnet of a supernet, trained alone from the weights it inherits: what finalists and the chosen one go through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flatnas.arch import Arch
from pipeline.protocol import Protocol
from pipeline.runner import StageContext

if TYPE_CHECKING:
    from torch import nn

    from flatnas.supernet import Supernet
    from flatnas.train import Recipe


def finetuned(
    context: StageContext, supernet: Supernet, arch: Arch, protocol: Protocol, recipe: Recipe, what: str
) -> nn.Module:
    """The subnet after its training, batch norms recalibrated, in eval mode.

    Args:
        protocol: which loss and how many images; the recipe may be another than its own.
        what: is trained, as people are told; also the name of the checkpoint in the stage's folder.
    """
    from flatnas.train import cross_entropy, distilled, recalibrate, train

    net, images = supernet.extract(arch), context.data.train
    if protocol.finetune_images is not None:
        images = images.subset(protocol.finetune_images)
    if protocol.distillation:
        largest = supernet.space.largest
        teacher = supernet.extract(largest)
        recalibrate(teacher, context.data.train.subset(2000).pixels_nhwc, largest.resolution)
        loss = distilled(net, arch.resolution, teacher, largest.resolution, protocol.distillation)
    else:
        loss = cross_entropy(net, arch.resolution, protocol.label_smoothing)
    with context.report.track(what) as advance:
        train(
            net,
            images,
            loss,
            recipe,
            checkpoint=context.work / f"{what}.safetensors",
            progress=lambda step, steps, loss: advance(step, steps, f"loss {loss:.3f}"),
        )
    recalibrate(net, images.subset(5 * context.counts.recalibration_images).pixels_nhwc, arch.resolution)
    return net
