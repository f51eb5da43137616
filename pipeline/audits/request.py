"""What an audit is asked to do: every setting once, with its help, its choices and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from pipeline.config import Count, GateSettings, Option, Share

RunnerName = Literal["onnxruntime", "litert", "litert-reference", "tflm", "interpreter", "firmware"]
Source = Literal["auto", "official", "generated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """What runs a model, and what a pixel is to it; where nothing is asked for, the file decides."""

    runner: Annotated[
        RunnerName | None, Option("Runtime of the model; firmware is our C, compiled for this machine.")
    ] = None
    layout: Annotated[
        Literal["nhwc", "nchw"] | None, Option("Layout of the model's input, else read from its shape.")
    ] = None
    input_range: Annotated[
        tuple[float, float] | None, Option("What pixels 0 and 255 are to the model.", metavar="LOW HIGH")
    ] = None
    mean: Annotated[
        tuple[float, ...], Option("With --std: the model takes (pixel / 255 - mean) / std.", metavar="R,G,B")
    ] = ()
    std: Annotated[tuple[float, ...], Option("With --mean.", metavar="R,G,B")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """What an audit measures, and on which pictures.

    Attributes:
        dataset: its name or its folder, whose pictures are taken at their own size.
        corruptions: names in `flatnas.corruptions.CORRUPTIONS`; all where none is named.
        device_images: corrupted pictures, in all, that an int8 TFLite model also sees on the device's kernels.
        cache_limit: a size, of generated pictures kept on disk.
    """

    dataset: Annotated[
        str,
        Option(
            "Data set, a folder with one folder of images per class, or a list of them (.csv).",
            metavar="cifar10|cifar100|digits|PATH",
        ),
    ] = "cifar10"
    limit: Annotated[Count | None, Option("Audit a stratified subset of so many test images.", metavar="N")] = None
    corruptions: Annotated[
        tuple[str, ...], Option("Only these; mCE needs all 15 standard ones.", metavar="NAME[,NAME…]")
    ] = ()
    source: Annotated[
        Source,
        Option("Of the corrupted images; auto takes the official files where they are on this machine."),
    ] = "auto"
    floor: Annotated[Share, Option("Tell the severity at which accuracy falls below this.")] = 0.5
    layers: Annotated[bool, Option("Look into the int8 model: noise and saturation of every activation.")] = False
    calibration_sizes: Annotated[
        tuple[Count, ...],
        Option(
            "Quantize the float model anew from so many calibration images, and show how the error moves.",
            flag="--calibration",
            metavar="N[,N…]",
        ),
    ] = ()
    seed: Annotated[int, Interval(ge=0, le=2**32 - 1), Option("Of subset and pictures; a run's own for a run.")] = 0
    device_images: Annotated[int, Ge(0)] = 1000
    cache_limit: Annotated[str, Option("Of corrupted images kept on disk; 0B keeps none.", metavar="SIZE")] = (
        "4GB"  # CIFAR-10's test set under 15 corruptions has 2.3 GB
    )

    @property
    def cache_limit_bytes(self) -> int:
        """The cache's limit.

        Raises:
            ValueError: it is no size.
        """
        from hardware_profiles.units import parse_bytes

        return parse_bytes(self.cache_limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditGates(GateSettings):
    """Gates of an audit, which has no others."""

    max_delta: Annotated[
        float | None, Option("Gate: fail where the interval of the delta to the baseline ends above this.")
    ] = None
