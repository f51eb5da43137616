"""torch -> float ONNX: one node per layer, named by its module path, nothing left over from an exporter.

The batch dimension is symbolic ("N"), so that onnxruntime evaluates batches; everything else is static. Zero padding in
front of a convolution becomes the convolution's own `pads`. One table of writers: `_MODULES` and `_FUNCTIONS`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.nn import functional

from export.fold import trace
from export.graph import ExportError

OPSET = 17
IR_VERSION = 8  # the one of opset 17; newer ones are refused by older runtimes


def to_onnx(
    module: nn.Module,
    input_shape_nchw: tuple[int, int, int, int],
    *,
    input_name: str = "image",
    output_name: str = "logits",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Write a network as float ONNX; the same module gives the same bytes.

    Args:
        module: plain layers, batch norms folded (`fold_batch_norm`), one tensor in and one out.
        input_shape_nchw: of one input; its batch size does not matter.
        metadata: kept in the file's `metadata_props`.

    Raises:
        ExportError: naming the layer that has no ONNX form here.
    """
    traced = trace(module)
    if traced.training:
        raise ExportError("the network is in training mode; call .eval() first")
    writer = _Writer(traced, input_name, output_name)
    for node in traced.graph.nodes:
        writer.write(node)
    return writer.model(input_shape_nchw, metadata or {}).SerializeToString(deterministic=True)


class _Writer:
    """What was written so far: ONNX nodes, initializers, and the ONNX name of every traced value."""

    def __init__(self, traced: fx.GraphModule, input_name: str, output_name: str) -> None:
        self.traced, self.input_name, self.output_name = traced, input_name, output_name
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.names: dict[fx.Node, str] = {}
        self.pads: dict[
            fx.Node, list[int]
        ] = {}  # zero paddings waiting for their convolution: top, left, bottom, right
        self.result = next(node for node in traced.graph.nodes if node.op == "output").args[0]

    def write(self, node: fx.Node) -> None:
        """Write one traced node."""
        if node.op == "placeholder":
            if self.input_name in self.names.values():
                raise ExportError(f"the network has a second input '{node.target}'; one image input is supported")
            self.names[node] = self.input_name
        elif node.op == "call_module":
            layer = self.traced.get_submodule(str(node.target))
            write = _MODULES.get(type(layer))
            if write is None:
                raise ExportError(
                    f"layer '{node.target}' ({type(layer).__name__}) has no ONNX form here; supported: {_names(_MODULES)}"
                )
            write(self, node, layer)
        elif node.op in ("call_function", "call_method"):
            function = _FUNCTIONS.get(node.target)
            if function is None:
                name = getattr(node.target, "__name__", node.target)
                raise ExportError(
                    f"node '{self.path(node)}' ({name}) has no ONNX form here; supported: {_names(_FUNCTIONS)}"
                )
            function(self, node)
        elif node.op != "output":
            raise ExportError(f"'{node.target}' ({node.op}) is a parameter outside a layer; put it into one")

    def emit(self, node: fx.Node, op: str, inputs: list[str], **attributes: Any) -> None:
        """Write an ONNX node; its name and its output's are the traced node's path."""
        name = self.path(node)
        output = self.output_name if node is self.result else name
        self.nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        self.names[node] = output

    def path(self, node: fx.Node) -> str:
        """The module path of a layer; for a function, the module it is called in and a number where needed."""
        if node.op == "call_module":
            calls = [
                other for other in self.traced.graph.nodes if other.op == "call_module" and other.target == node.target
            ]
            return str(node.target) + (f".call{calls.index(node)}" if len(calls) > 1 else "")
        # the last entry is the innermost module; its key is the path
        stack = [str(key) for key in node.meta.get("nn_module_stack", {}) if key]
        return ".".join([*stack[-1:], node.name if not stack else node.name.rstrip("0123456789").rstrip("_")])

    def source(self, node: fx.Node, argument: int = 0) -> str:
        """The ONNX name of a traced argument."""
        value = node.args[argument]
        if not isinstance(value, fx.Node):
            raise ExportError(
                f"node '{self.path(node)}' has the constant {value!r} as an input; only tensors are supported"
            )
        if value in self.pads:
            raise ExportError(
                f"zero padding '{value.target}' is followed by '{self.path(node)}'; only a convolution takes it over"
            )
        return self.names[value]

    def constant(self, name: str, value: torch.Tensor | npt.NDArray[Any]) -> str:
        """Store an initializer once; returns its name."""
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        self.initializers.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def model(self, input_shape_nchw: tuple[int, int, int, int], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The checked model."""
        image = helper.make_tensor_value_info(self.input_name, TensorProto.FLOAT, ["N", *input_shape_nchw[1:]])
        result = helper.make_tensor_value_info(self.output_name, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "network", [image], [result], list(self.initializers.values()))
        model = helper.make_model(
            graph, producer_name="flatnas-deploy", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        helper.set_model_props(model, dict(metadata))
        try:
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            raise ExportError(f"the layers do not fit an input of shape {input_shape_nchw}: {error}") from error
        model.graph.output[0].CopyFrom(inferred.graph.output[0])
        onnx.checker.check_model(model, full_check=True)
        return model


def _conv(writer: _Writer, node: fx.Node, layer: nn.Conv2d) -> None:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ExportError(
            f"layer '{node.target}' pads with {layer.padding!r} ({layer.padding_mode}); wanted numbers and zeros"
        )
    above, left = layer.padding
    pads = [int(above), int(left), int(above), int(left)]
    padded = node.args[0]
    if isinstance(padded, fx.Node) and padded in writer.pads:
        pads = [own + before for own, before in zip(pads, writer.pads[padded], strict=True)]
        source = writer.names[padded]
    else:
        source = writer.source(node)
    inputs = [source, writer.constant(f"{node.target}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.constant(f"{node.target}.bias", layer.bias))
    writer.emit(
        node,
        "Conv",
        inputs,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        dilations=list(layer.dilation),
        pads=pads,
        group=layer.groups,
    )


def _linear(writer: _Writer, node: fx.Node, layer: nn.Linear) -> None:
    inputs = [writer.source(node), writer.constant(f"{node.target}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.constant(f"{node.target}.bias", layer.bias))
    writer.emit(node, "Gemm", inputs, transB=1)


def _zero_pad(writer: _Writer, node: fx.Node, layer: nn.ZeroPad2d) -> None:
    left, right, above, below = layer.padding
    writer.names[node] = writer.source(node)
    writer.pads[node] = [above, left, below, right]


def _adaptive_average_pool(writer: _Writer, node: fx.Node, layer: nn.AdaptiveAvgPool2d) -> None:
    if layer.output_size not in (1, (1, 1)):
        raise ExportError(f"layer '{node.target}' pools to {layer.output_size}; only 1x1 is supported")
    writer.emit(node, "GlobalAveragePool", [writer.source(node)])


def _flatten_layer(writer: _Writer, node: fx.Node, layer: nn.Flatten) -> None:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise ExportError(
            f"layer '{node.target}' flattens {layer.start_dim} to {layer.end_dim}; only 1 to -1 is supported"
        )
    writer.emit(node, "Flatten", [writer.source(node)], axis=1)


def _flatten(writer: _Writer, node: fx.Node) -> None:
    start, end = (*node.args[1:], *node.kwargs.values(), -1)[:2] if len(node.args) + len(node.kwargs) > 1 else (0, -1)
    if (start, end) != (1, -1):
        raise ExportError(f"node '{writer.path(node)}' flattens {start} to {end}; only 1 to -1 is supported")
    writer.emit(node, "Flatten", [writer.source(node)], axis=1)


def _relu6(writer: _Writer, node: fx.Node) -> None:
    low = writer.constant("relu6.low", np.array(0, np.float32))
    high = writer.constant("relu6.high", np.array(6, np.float32))
    writer.emit(node, "Clip", [writer.source(node), low, high])


def _unary(op: str) -> Callable[[_Writer, fx.Node], None]:
    return lambda writer, node: writer.emit(node, op, [writer.source(node)])


def _binary(op: str) -> Callable[[_Writer, fx.Node], None]:
    return lambda writer, node: writer.emit(node, op, [writer.source(node, 0), writer.source(node, 1)])


def _layer(write: Callable[[_Writer, fx.Node], None]) -> Callable[[_Writer, fx.Node, Any], None]:
    return lambda writer, node, layer: write(writer, node)


def _nothing(writer: _Writer, node: fx.Node, layer: nn.Module) -> None:
    if node is writer.result:
        writer.emit(node, "Identity", [writer.source(node)])
    else:
        writer.names[node] = writer.source(node)


_MODULES: Mapping[type[nn.Module], Callable[[_Writer, fx.Node, Any], None]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.ZeroPad2d: _zero_pad,
    nn.ReLU: _layer(_unary("Relu")),
    nn.ReLU6: _layer(_relu6),
    nn.Hardswish: _layer(_unary("HardSwish")),
    nn.Sigmoid: _layer(_unary("Sigmoid")),
    nn.AdaptiveAvgPool2d: _adaptive_average_pool,
    nn.Flatten: _flatten_layer,
    nn.Identity: _nothing,
    nn.Dropout: _nothing,
}

_FUNCTIONS: Mapping[Any, Callable[[_Writer, fx.Node], None]] = {
    operator.add: _binary("Add"),
    operator.iadd: _binary("Add"),
    torch.add: _binary("Add"),
    operator.mul: _binary("Mul"),
    torch.mul: _binary("Mul"),
    torch.flatten: _flatten,
    "flatten": _flatten,
    torch.relu: _unary("Relu"),
    functional.relu: _unary("Relu"),
    functional.relu6: _relu6,
    functional.hardswish: _unary("HardSwish"),
    torch.sigmoid: _unary("Sigmoid"),
}


def _names(table: Mapping[Any, object]) -> str:
    return ", ".join(dict.fromkeys(getattr(key, "__name__", str(key)) for key in table))
