"""One way to run any artifact: ONNX on onnxruntime; TFLite on LiteRT (XNNPACK or reference kernels), on TFLite Micro,
on the integer interpreter, or as our C firmware compiled for this machine.

What a pixel is to a model: an int8 model's input quantization spans its 256 steps, so the quantized value of pixel p is
p - 128 whatever its scale. A float model takes raw pixels 0 to 255, unless its metadata names the normalisation, as
ours does. The caller's `input_range` overrides either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from export.graph import ExportError, shown
from export.run.tflite_runtimes import MissingOperatorError, litert_interpreter, tflite_content, tflm_interpreter

Layout = Literal["nhwc", "nchw"]
Level = float | tuple[float, float, float]  # for all channels, or for red, green and blue
InputRange = tuple[Level, Level]
Kind = Literal["onnxruntime", "litert", "litert-reference", "tflm", "interpreter", "firmware"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Array = npt.NDArray[Any]
_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Runner:
    """A loaded model.

    Attributes:
        name: of the runtime.
        resolution: side of its square input in pixels.
        channels_first: NCHW input instead of NHWC.
        input_dtype: `int8`, `uint8` or `float32`.
        input_range: real values of pixels 0 and 255; None for integers that are the pixel itself, or pixel - 128.
        input_qparams: (scale, zero point) of an integer input whose `input_range` was given, else None.
        output_qparams: (scale, zero point) of an integer output, or None.
        run: raw inputs (N, H, W, C) or (N, C, H, W) to raw outputs (N, classes), in the model's own types.
    """

    name: str
    resolution: int
    channels_first: bool
    input_dtype: str
    input_range: InputRange | None
    input_qparams: tuple[float, int] | None
    output_qparams: tuple[float, int] | None
    run: Callable[[Array], Array]

    def classify(self, pixels_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Real-valued scores, shape (N, classes), of pixels (N, resolution, resolution, 3)."""
        raw = self.run(self.encode(pixels_nhwc))
        if self.output_qparams is None:
            return raw.astype(np.float32)
        scale, zero_point = self.output_qparams
        return (np.float32(scale) * (raw.astype(np.int32) - zero_point)).astype(np.float32)

    def encode(self, pixels_nhwc: npt.NDArray[np.uint8]) -> Array:
        """Pixels as the model takes them."""
        x: Array = pixels_nhwc
        if self.input_range is not None:
            low, high = (np.asarray(level, np.float64) for level in self.input_range)
            x = x * ((high - low) / 255).astype(np.float32) + low.astype(np.float32)
            if self.input_qparams is not None:
                scale, zero_point = self.input_qparams
                limits = np.iinfo(self.input_dtype)
                x = np.clip(np.rint(x / np.float32(scale)) + zero_point, limits.min, limits.max)
        elif self.input_dtype == "int8":
            x = x.astype(np.int16) - 128
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if self.channels_first else x, self.input_dtype)


def load_runner(
    path: Path,
    kind: Kind | None = None,
    *,
    threads: int | None = None,
    input_range: InputRange | None = None,
    layout: Layout | None = None,
) -> Runner:
    """Load a model file.

    Args:
        kind: of the runtime; by default onnxruntime for .onnx and LiteRT with XNNPACK for .tflite.
        threads: all cores for onnxruntime by default, one for LiteRT, where a small net is slower on two than on one.
        input_range: overrides what pixels 0 and 255 are to the model.
        layout: overrides the input's layout, which is read from where its 3 channels are.

    Raises:
        ExportError: an unreadable file, a kind that can't run it, an operator that the runtime lacks (says which kind
            has it), or a model that is no image classifier.
    """
    suffix = path.suffix.lower()
    if suffix not in (".onnx", ".tflite"):
        raise ExportError(f"{path} is no model file known here; .tflite and .onnx are")
    if not path.is_file():
        raise ExportError(f"there is no file {path}")
    kind = kind or ("onnxruntime" if suffix == ".onnx" else "litert")
    if (suffix == ".onnx") != (kind == "onnxruntime"):
        suited = "onnxruntime" if suffix == ".onnx" else "litert, litert-reference, tflm, interpreter or firmware"
        raise ExportError(f"{kind} can't run {path.name}; choose {suited}")
    try:
        return _load(path, kind, threads, input_range, layout)
    except MissingOperatorError as error:
        others = [other for other in KINDS if other not in (kind, "onnxruntime") and _loads(path, other)]
        instead = f"--runner {' or '.join(others)} has it" if others else "no other runner here has it"
        raise ExportError(f"{error}; {instead}") from error


def _load(path: Path, kind: Kind, threads: int | None, input_range: InputRange | None, layout: Layout | None) -> Runner:
    if kind == "onnxruntime":
        return _onnxruntime(path, threads or os.cpu_count() or 1, input_range, layout)
    if kind == "tflm":
        return _tflm(path, input_range, layout)
    if kind in ("interpreter", "firmware"):
        return _integers(path, kind, threads or os.cpu_count() or 1, input_range)
    return _litert(path, kind, threads or 1, input_range, layout)


def _loads(path: Path, kind: Kind) -> bool:
    try:
        _load(path, kind, 1, None, None)
    except ExportError:
        return False
    return True


def _onnxruntime(path: Path, threads: int, input_range: InputRange | None, layout: Layout | None) -> Runner:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    try:
        session = ort.InferenceSession(whole_model(path), options, providers=["CPUExecutionProvider"])
    except ExportError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no public base
        told = str(error).splitlines()[0]
        if lacking := re.search(r"([\w.:]+)\(-?\d+\) is not a registered function/op", told):
            raise MissingOperatorError(f"onnxruntime lacks the operator {lacking[1]} of {path.name}") from error
        raise ExportError(f"onnxruntime can't load {path.name}: {told}") from error
    _one_input(path, [i.name for i in session.get_inputs()])
    spec, output = session.get_inputs()[0], session.get_outputs()[0]
    if len(spec.shape) == 4 and not all(isinstance(side, int) for side in spec.shape[1:]):
        raise ExportError(
            f"{path.name} takes pictures of any size {spec.shape}; fix its input shape first: python -m "
            f"onnxruntime.tools.make_dynamic_shape_fixed --input_name {spec.name} --input_shape 1,3,32,32 IN OUT"
        )
    shape = tuple(side if isinstance(side, int) else 1 for side in spec.shape)
    channels_first = layout == "nchw" if layout else len(shape) == 4 and shape[1] in (1, 3)
    resolution = _resolution(path, shape, channels_first, len(output.shape))
    dtype = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}.get(spec.type, spec.type)
    _known(path, dtype)
    fixed = spec.shape[0] if isinstance(spec.shape[0], int) else None
    step = fixed or (_BATCH if _takes_two(session, np.zeros((2, *shape[1:]), dtype)) else 1)

    def batch(x: Array) -> Array:
        if fixed is not None and len(x) < fixed:  # filled up with its last picture
            return batch(x[np.minimum(np.arange(fixed), len(x) - 1)])[: len(x)]
        scores: Array = session.run([output.name], {spec.name: x})[0]
        return scores

    def run(x: Array) -> Array:
        return np.concatenate([batch(x[i : i + step]) for i in range(0, len(x), step)])

    if dtype == "float32":
        real = input_range or _range_from(session.get_modelmeta().custom_metadata_map) or (0.0, 255.0)
        return Runner("onnxruntime", resolution, channels_first, dtype, real, None, None, run)
    if input_range is not None:
        raise ExportError(f"{path.name} takes {dtype} input of unknown scale: an input range can't be applied to it")
    return Runner("onnxruntime", resolution, channels_first, dtype, None, None, None, run)


def _takes_two(session: Any, pictures: Array) -> bool:
    """Whether a model that says it takes any number of pictures does; some reshape to one row all the same."""
    import onnxruntime as ort

    quiet = ort.RunOptions()
    quiet.log_severity_level = 4
    try:
        scores = session.run(None, {session.get_inputs()[0].name: pictures}, quiet)[0]
    except Exception:  # onnxruntime's exceptions share no public base
        return False
    return len(scores) == len(pictures)


def whole_model(path: Path) -> bytes:
    """A model file with all that belongs to it: ONNX may keep its weights in files beside (torch's exporter does).

    Raises:
        ExportError: such a file is missing, damaged, or not in the model's own folder.
    """
    if path.suffix.lower() != ".onnx":
        return path.read_bytes()
    from export.onnx_graph import onnx_content

    return onnx_content(path)


def _range_from(metadata: dict[str, str]) -> InputRange | None:
    """Real values of pixels 0 and 255 under the normalisation that our own files name: scale * (pixel - 128 - zero)."""
    if "input_scale" not in metadata:
        return None
    scale, zero_point = float(metadata["input_scale"]), int(metadata.get("input_zero_point", "0"))
    return scale * (-128 - zero_point), scale * (127 - zero_point)


def _litert(path: Path, kind: Kind, threads: int, input_range: InputRange | None, layout: Layout | None) -> Runner:
    content, metadata = tflite_content(path)
    interpreter = litert_interpreter(content, kind, threads, path.name)
    _one_input(path, [i["name"] for i in interpreter.get_input_details()])
    spec, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(x: Array) -> Array:
        rows = np.empty((len(x), int(output["shape"][-1])), output["dtype"])
        for i, image in enumerate(x):
            interpreter.set_tensor(spec["index"], image[None])
            interpreter.invoke()
            rows[i] = interpreter.get_tensor(output["index"])[0]
        return rows

    return _tflite_runner(path, kind, spec, output, input_range, metadata, layout, run)


def _tflm(path: Path, input_range: InputRange | None, layout: Layout | None) -> Runner:
    content, metadata = tflite_content(path)
    interpreter = tflm_interpreter(content, path.name)
    spec, output = interpreter.get_input_details(0), interpreter.get_output_details(0)

    def run(x: Array) -> Array:
        rows = np.empty((len(x), int(output["shape"][-1])), output["dtype"])
        for i, image in enumerate(x):
            interpreter.set_input(image[None], 0)
            interpreter.invoke()
            rows[i] = interpreter.get_output(0)[0]
        return rows

    return _tflite_runner(path, "tflm", spec, output, input_range, metadata, layout, run)


def _integers(path: Path, kind: Kind, threads: int, input_range: InputRange | None) -> Runner:
    from export.ops.interpreter import Interpreter
    from export.read_tflite import read_tflite
    from export.run.host_firmware import load_host_firmware

    content = path.read_bytes()
    graph = read_tflite(path)
    interpreter = Interpreter(graph)
    image, output = graph.tensor(graph.inputs[0]), graph.tensor(graph.outputs[0])
    resolution = _resolution(path, image.shape, channels_first=False, output_rank=len(output.shape))
    assert output.qparams is not None  # or the interpreter would have refused
    assert image.qparams is not None
    given, told = ((float(q.scale[0]), int(q.zero_point[0])) for q in (image.qparams, output.qparams))
    input_qparams = None if input_range is None else given
    run = interpreter.run if kind == "interpreter" else load_host_firmware(content, threads)
    return Runner(kind, resolution, False, "int8", input_range, input_qparams, told, run)


def _tflite_runner(
    path: Path,
    name: str,
    spec: Any,
    output: Any,
    input_range: InputRange | None,
    metadata: dict[str, str],
    layout: Layout | None,
    run: Callable[[Array], Array],
) -> Runner:
    shape = tuple(int(side) for side in spec["shape"])
    if len(shape) == 4 and shape[0] != 1:
        raise ExportError(f"{path.name} takes {shape[0]} pictures at a time: convert it with batch size 1")
    channels_first = layout == "nchw" if layout else len(shape) == 4 and shape[1] == 3 != shape[3]
    resolution = _resolution(path, shape, channels_first, output_rank=len(output["shape"]))
    dtype = _known(path, np.dtype(spec["dtype"]).name)
    is_float = dtype == "float32"
    real = input_range or ((_range_from(metadata) or (0.0, 255.0)) if is_float else None)
    input_qparams = None if is_float or real is None else _qparams(spec)
    output_qparams = None if np.dtype(output["dtype"]).name == "float32" else _qparams(output)
    return Runner(name, resolution, channels_first, dtype, real, input_qparams, output_qparams, run)


def _qparams(tensor: Any) -> tuple[float, int]:
    q = tensor["quantization_parameters"]
    return float(q["scales"][0]), int(q["zero_points"][0])


def _one_input(path: Path, names: Sequence[str]) -> None:
    if len(names) != 1:
        raise ExportError(
            f"{path.name} has the inputs {', '.join(map(shown, names))}; a classifier takes pictures alone"
        )


def _resolution(path: Path, shape: tuple[int, ...], channels_first: bool, output_rank: int) -> int:
    sides = shape[2:] if channels_first else shape[1:3]
    channels = (shape[1] if channels_first else shape[3]) if len(shape) == 4 else 0
    if len(shape) != 4 or channels != 3 or sides[0] != sides[1] or output_rank != 2:
        raise ExportError(
            f"{path.name} is no image classifier known here: input {shape}, "
            f"output of rank {output_rank}; wanted a square RGB image and a row of scores"
        )
    return sides[0]


def _known(path: Path, dtype: str) -> str:
    if dtype not in ("int8", "uint8", "float32"):
        raise ExportError(f"{path.name} takes {dtype} input; int8, uint8 and float32 are supported")
    return dtype
