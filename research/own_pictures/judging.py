"""How good a net is on a test part, in float and in int8: recall of each class, balanced accuracy with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from flatnas.data.dataset import Dataset
from flatnas.data.resize import Pixels, resize
from flatnas.training.train import predict

_CALIBRATION_IMAGES = 256  # training images behind the int8 ranges
_BATCH = 100
_INPUT = (np.float32(1 / 128), 0)  # int8 input = pixel - 128

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Figures of a test part.

    Attributes:
        top1: share of right answers.
        balanced: mean of the recalls.
        half_width: of the 95 % interval of `balanced`: 1.96 standard errors, the recalls being binomial.
        recalls: of each class.
        images: test pictures of each class.
    """

    top1: float
    balanced: float
    half_width: float
    recalls: tuple[float, ...]
    images: tuple[int, ...]


def judge(answers: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Judgement:
    """The figures of these answers; every class has a picture."""
    counts = np.bincount(labels)
    recalls = np.bincount(labels[answers == labels], minlength=len(counts)) / counts
    error = np.sqrt(np.sum(recalls * (1 - recalls) / counts)) / len(counts)
    return Judgement(
        top1=float(np.mean(answers == labels)),
        balanced=float(recalls.mean()),
        half_width=float(1.96 * error),
        recalls=tuple(map(float, recalls)),
        images=tuple(map(int, counts)),
    )


def judge_net(net: nn.Module, data: Dataset, resolution: int) -> tuple[Judgement, Judgement]:
    """A trained net in float, and after post-training quantization as a run does it."""
    logits = predict(net, data.test.pixels_nhwc, resolution)
    int8 = _int8_logits(net, data, resolution)
    labels = data.test.labels
    return judge(logits.argmax(1), labels), judge(int8.argmax(1), labels)


def _int8_logits(net: nn.Module, data: Dataset, resolution: int) -> Float32Array:
    from export.calibrate import session
    from export.post_training import post_training
    from export.write.fold import fold_batch_norm
    from export.write.to_onnx import to_onnx

    onnx = to_onnx(fold_batch_norm(net.eval()), (1, 3, resolution, resolution))
    calibration = _to_input(data.train.subset(_CALIBRATION_IMAGES).pixels_nhwc, resolution)
    run = session(post_training(onnx, calibration, _INPUT, lambda *_: None).qdq_onnx)
    x = _to_input(data.test.pixels_nhwc, resolution)
    return np.concatenate([run(None, {"image": x[i : i + _BATCH]})[0] for i in range(0, len(x), _BATCH)])


def _to_input(pixels_nhwc: Pixels, resolution: int) -> Float32Array:
    pixels = resize(pixels_nhwc, resolution).transpose(0, 3, 1, 2)
    return ((pixels.astype(np.float32) - 128) / 128).astype(np.float32)
