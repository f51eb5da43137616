"""torch -> float ONNX, written with onnx's own helpers: names from module paths, nothing left over from an exporter.

The module is traced by torch.fx; each layer or function it calls has one row in a table. Batch is symbolic, so that
onnxruntime can evaluate many images at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph import ExportError

if TYPE_CHECKING:
    from torch import nn

OPSET = 17


def to_onnx(
    module: nn.Module, input_shape_nchw: tuple[int, int, int, int], *, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Serialized float ONNX of an eval-mode module without batch norms; input `image`, output `logits`.

    Args:
        module: calls only layers and functions of the tables below.
        input_shape_nchw: its batch entry is replaced by a symbolic one.
        metadata: stored as the model's metadata_props.

    Raises:
        ExportError: a layer or function outside the tables, by its path.
    """
    import onnx
    from onnx import TensorProto, helper
    from torch import fx

    writer = _Writer()
    try:
        traced = fx.symbolic_trace(module)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ExportError(f"the module can't be traced: {error}") from error
    layers = dict(traced.named_modules())
    for node in traced.graph.nodes:
        _emit(writer, node, layers)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *input_shape_nchw[1:]])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    graph = helper.make_graph(writer.nodes, type(module).__name__.lower(), [image], [logits], writer.initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="flatnas-deploy", ir_version=8
    )
    helper.set_model_props(model, dict(metadata or {}))
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class _Writer:
    """Collects ONNX nodes and initializers; remembers the padding that the next convolution takes over."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: dict[str, str] = {}
        self.pads: dict[str, tuple[int, int, int, int]] = {}  # by tensor name: top, left, bottom, right

    def add(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.asarray(value, np.float32, order="C"), name))
        return name


def _emit(writer: _Writer, node: Any, layers: Mapping[str, nn.Module]) -> None:
    if node.op == "placeholder":
        writer.names[node.name] = "image"
        return
    if node.op == "output":
        _rename_output(writer, writer.names[node.args[0].name])
        return
    inputs = [writer.names[a.name] for a in node.args if hasattr(a, "name")]
    if len(inputs) != len(node.args):
        raise ExportError(f"'{node.name}' calls {node.target} with a constant; exportable are layers and x + y")
    if node.op == "call_module":
        layer = layers[node.target]
        write = _LAYERS.get(type(layer).__name__)
        if write is None:
            raise ExportError(
                f"layer '{node.target}' is a {type(layer).__name__}; exportable are {', '.join(sorted(_LAYERS))}"
            )
        if inputs[0] in writer.pads and write is not _conv:
            raise ExportError(f"layer '{node.target}' reads padding; only a convolution can take it over")
        if any(n.name == node.target for n in writer.nodes):
            raise ExportError(f"layer '{node.target}' is called twice; give each call a layer of its own")
        writer.names[node.name] = write(writer, str(node.target), inputs[0], layer)
    elif node.op == "call_function" and node.target in (operator.add, operator.iadd):
        writer.names[node.name] = writer.add("Add", node.name, inputs)
    else:
        raise ExportError(f"'{node.name}' calls {node.target}; exportable are layers and x + y")


def _rename_output(writer: _Writer, name: str) -> None:
    for node in writer.nodes:
        if node.output[0] == name:
            node.output[0] = "logits"


def _conv(writer: _Writer, name: str, x: str, layer: Any) -> str:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise ExportError(
            f"layer '{name}' pads with mode '{layer.padding_mode}' and '{layer.padding}'; "
            "only zeros by numbers can be exported"
        )
    top, left, bottom, right = writer.pads.get(x, (0, 0, 0, 0))
    h, w = layer.padding
    source = writer.names.get(f"unpadded {x}", x)
    inputs = [source, writer.constant(f"{name}.weight", layer.weight.detach().numpy())]
    if layer.bias is not None:
        inputs.append(writer.constant(f"{name}.bias", layer.bias.detach().numpy()))
    return writer.add(
        "Conv",
        name,
        inputs,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=[top + h, left + w, bottom + h, right + w],
        dilations=list(layer.dilation),
        group=layer.groups,
    )


def _zero_pad(writer: _Writer, name: str, x: str, layer: Any) -> str:
    left, right, top, bottom = layer.padding
    writer.pads[name] = (top, left, bottom, right)
    writer.names[f"unpadded {name}"] = x
    return name


def _linear(writer: _Writer, name: str, x: str, layer: Any) -> str:
    weight = writer.constant(f"{name}.weight", layer.weight.detach().numpy())
    bias = np.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().numpy()
    return writer.add("Gemm", name, [x, weight, writer.constant(f"{name}.bias", bias)], transB=1)


def _relu6(writer: _Writer, name: str, x: str, layer: Any) -> str:
    if not any(i.name == "zero" for i in writer.initializers):
        writer.constant("zero", np.float32(0))
        writer.constant("six", np.float32(6))
    return writer.add("Clip", name, [x, "zero", "six"])


def _global_average(writer: _Writer, name: str, x: str, layer: Any) -> str:
    if layer.output_size not in (1, (1, 1)):
        raise ExportError(f"layer '{name}' pools to {layer.output_size}; only global average pooling can be exported")
    return writer.add("GlobalAveragePool", name, [x])


_LAYERS: dict[str, Callable[[_Writer, str, str, Any], str]] = {
    "Conv2d": _conv,
    "ZeroPad2d": _zero_pad,
    "Linear": _linear,
    "ReLU": lambda writer, name, x, layer: writer.add("Relu", name, [x]),
    "ReLU6": _relu6,
    "AdaptiveAvgPool2d": _global_average,
    "Flatten": lambda writer, name, x, layer: writer.add("Flatten", name, [x], axis=layer.start_dim),
    "Identity": lambda writer, name, x, layer: x,
    "Dropout": lambda writer, name, x, layer: x,
}
