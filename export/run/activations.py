"""What every activation of a model is on given inputs: what quantization does inside, not only at the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.graph import ExportError
from export.run.runners import Array


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """An activation of an int8 model.

    Attributes:
        name: of the activation; in QDQ ONNX that of the float tensor which is quantized.
        at: name of the int8 tensor in the file.
        scale: with zero_point, real = scale * (q - zero_point).
    """

    name: str
    at: str
    scale: float
    zero_point: int


Activations = Callable[[Array], list[Array]]
"""Raw inputs of the model to the values of the tensors asked for, in order."""


def quantized_tensors(qdq_onnx: bytes) -> list[QuantizedTensor]:
    """The activations that a QDQ ONNX quantizes to int8, in execution order; empty for a float model.

    Softmax is left out: its range is fixed, and full at a probability of 1.

    Raises:
        ExportError: not an ONNX model.
    """
    from onnx import numpy_helper

    model = _parsed(qdq_onnx)
    scales = {name for n in model.graph.node if n.op_type == "QuantizeLinear" for name in n.input[1:]}
    try:
        constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer if i.name in scales}
    except Exception as error:  # whatever numpy makes of a damaged tensor
        raise ExportError(f"a scale of this ONNX model is damaged: {error}") from error
    outputs = {o.name for o in model.graph.output}
    makers = {output: n.op_type for n in model.graph.node for output in n.output}
    renamed = {
        n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input and n.output
    }
    found = []
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or len(node.input) != 3 or not {*node.input[1:]} <= constants.keys():
            continue
        source, scale, zero_point = node.input
        if makers.get(source) == "Softmax":
            continue
        if constants[zero_point].dtype != np.int8 or not constants[scale].size == constants[zero_point].size == 1:
            continue
        # The last activation keeps the output's name behind its quantization, so the float one is called otherwise.
        last = next(
            (name for name, quantized in renamed.items() if quantized == node.output[0] and name in outputs), ""
        )
        found.append(
            QuantizedTensor(last or source, node.output[0], constants[scale].item(), constants[zero_point].item())
        )
    return found


def onnx_activations(content: bytes, names: Sequence[str]) -> Activations:
    """Run an ONNX model and read these of its tensors.

    Raises:
        ExportError: a tensor that it does not have, or a model that can't be run.
    """
    import onnxruntime as ort

    model = _parsed(content)
    known = {output for node in model.graph.node for output in node.output} | {model.graph.input[0].name}
    if missing := [name for name in names if name not in known]:
        raise ExportError(f"the float and the int8 model are not of one network: no tensor '{missing[0]}'")
    given = {o.name for o in model.graph.output} | {model.graph.input[0].name}
    model.graph.output.extend([type(model.graph.output[0])(name=name) for name in names if name not in given])
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise ExportError(f"onnxruntime can't run it: {str(error).splitlines()[0]}") from error
    image = model.graph.input[0].name
    asked = [name for name in names if name != image]

    def run(x: Array) -> list[Array]:
        values = dict(zip(asked, session.run(asked, {image: x}), strict=True)) | {image: x}
        return [values[name] for name in names]

    return run


def tflite_activations(path: Path) -> tuple[list[QuantizedTensor], Activations]:
    """The int8 activations of a TFLite file, and a run of LiteRT's reference kernels that keeps them.

    Raises:
        ExportError: the file has no int8 activations.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from export.read_tflite import read_tflite

    graph = read_tflite(path)
    interpreter = Interpreter(
        model_content=path.read_bytes(),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    found = []
    for node in graph.nodes:
        tensor = graph.tensor(node.outputs[0])
        q = tensor.qparams
        if node.op == "SOFTMAX" or tensor.dtype != "int8" or q is None or len(q.scale) != 1:
            continue
        found.append(QuantizedTensor(node.name, tensor.name, float(q.scale[0]), int(q.zero_point[0])))
    if not found:
        raise ExportError(f"{path.name} has no int8 activations to look into")
    order = {name: index for index, name in enumerate(graph.tensors)}
    places = [order[tensor.at] for tensor in found]
    image = interpreter.get_input_details()[0]["index"]

    def run(x: Array) -> list[Array]:
        rows = list(_rows(interpreter, image, places, x))
        return [np.concatenate(values) for values in zip(*rows, strict=True)]

    return found, run


def _rows(interpreter: Any, image: int, places: Sequence[int], x: Array) -> Iterator[list[Array]]:
    for row in x:
        interpreter.set_tensor(image, row[None])
        interpreter.invoke()
        yield [interpreter.get_tensor(place) for place in places]


def _parsed(content: bytes) -> Any:
    import onnx

    try:
        return onnx.load_from_string(content)
    except Exception as error:  # protobuf's own
        raise ExportError(f"this is no ONNX model: {error}") from error
