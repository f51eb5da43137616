"""torch -> float ONNX, written with onnx's own helpers: names from module paths, nothing left over from an exporter.

The module is traced by torch.fx; each layer or function it calls has one row in a table. Batch is symbolic, so that
onnxruntime can evaluate many images at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph import ExportError
from export.onnx_graph import OPSET

if TYPE_CHECKING:
    from torch import nn

_WriteLayer = Callable[["_Writer", str, str, Any], str]  # writer, name, input, layer -> output
_WriteFunction = Callable[["_Writer", Any, list[str]], str]  # writer, node of the trace, inputs -> output


def to_onnx(
    module: nn.Module, input_shape_nchw: tuple[int, int, int, int], *, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Serialized float ONNX of an eval-mode module; input `image`, output `logits`.

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
    if node.op == "call_module":
        _emit_layer(writer, node, layers[node.target])
        return
    write = _FUNCTIONS.get(getattr(node.target, "__name__", str(node.target)))
    if write is None:
        raise ExportError(
            f"'{node.name}' calls {getattr(node.target, '__name__', node.target)}; exportable are layers and "
            f"{', '.join(sorted(_FUNCTIONS))}"
        )
    operands = node.args[0] if isinstance(node.args[0], list | tuple) else node.args
    inputs = [writer.names[a.name] for a in operands if hasattr(a, "name")]
    if any(name in writer.pads for name in inputs):
        raise ExportError(f"'{node.name}' reads padding; only a convolution can take it over")
    writer.names[node.name] = write(writer, node, inputs)


def _emit_layer(writer: _Writer, node: Any, layer: nn.Module) -> None:
    write = _LAYERS.get(type(layer).__name__)
    if write is None:
        raise ExportError(
            f"layer '{node.target}' is a {type(layer).__name__}; exportable are {', '.join(sorted(_LAYERS))}"
        )
    x = writer.names[node.args[0].name]
    if x in writer.pads and write is not _conv:
        raise ExportError(f"layer '{node.target}' reads padding; only a convolution can take it over")
    name = str(node.target)
    if any(n.name == name for n in writer.nodes):
        if any(True for _ in layer.parameters()):
            raise ExportError(f"layer '{name}' is called twice; give each call a layer of its own")
        name = node.name  # an activation module that several places call, as torchvision's ResNet does
    writer.names[node.name] = write(writer, name, x, layer)


def _rename_output(writer: _Writer, name: str) -> None:
    for node in writer.nodes:
        node.input[:] = ["logits" if i == name else i for i in node.input]
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


def _batch_norm(writer: _Writer, name: str, x: str, layer: Any) -> str:
    values = {"weight": layer.weight, "bias": layer.bias, "mean": layer.running_mean, "variance": layer.running_var}
    constants = [writer.constant(f"{name}.{part}", value.detach().numpy()) for part, value in values.items()]
    return writer.add("BatchNormalization", name, [x, *constants], epsilon=layer.eps)


def _relu6(writer: _Writer, name: str, x: str) -> str:
    if not any(i.name == "zero" for i in writer.initializers):
        writer.constant("zero", np.float32(0))
        writer.constant("six", np.float32(6))
    return writer.add("Clip", name, [x, "zero", "six"])


def _global_average(writer: _Writer, name: str, x: str, layer: Any) -> str:
    if layer.output_size not in (1, (1, 1)):
        raise ExportError(f"layer '{name}' pools to {layer.output_size}; only global average pooling can be exported")
    return writer.add("GlobalAveragePool", name, [x])


def _pool(op: str) -> _WriteLayer:
    def write(writer: _Writer, name: str, x: str, layer: Any) -> str:
        if layer.ceil_mode:
            raise ExportError(f"layer '{name}' pools with ceil_mode, which can't be exported")
        kernel, stride, pad = (_pair(v) for v in (layer.kernel_size, layer.stride, layer.padding))
        extra = {"count_include_pad": int(layer.count_include_pad)} if op == "AveragePool" else {}
        return writer.add(op, name, [x], kernel_shape=kernel, strides=stride, pads=[*pad, *pad], **extra)

    return write


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _activation(op: str, **attributes: Any) -> _WriteLayer:
    return lambda writer, name, x, layer: writer.add(op, name, [x], **attributes)


_LAYERS: dict[str, _WriteLayer] = {
    "Conv2d": _conv,
    "ZeroPad2d": _zero_pad,
    "Linear": _linear,
    "BatchNorm2d": _batch_norm,
    "ReLU": _activation("Relu"),
    "ReLU6": lambda writer, name, x, layer: _relu6(writer, name, x),
    "Hardswish": _activation("HardSwish"),
    "Hardsigmoid": _activation("HardSigmoid", alpha=1 / 6, beta=0.5),
    "Sigmoid": _activation("Sigmoid"),
    "Softmax": lambda writer, name, x, layer: writer.add("Softmax", name, [x], axis=layer.dim),
    "AdaptiveAvgPool2d": _global_average,
    "AvgPool2d": _pool("AveragePool"),
    "MaxPool2d": _pool("MaxPool"),
    "Flatten": lambda writer, name, x, layer: writer.add("Flatten", name, [x], axis=layer.start_dim),
    "Identity": lambda writer, name, x, layer: x,
    "Dropout": lambda writer, name, x, layer: x,
}


def _binary(op: str) -> _WriteFunction:
    def write(writer: _Writer, node: Any, inputs: list[str]) -> str:
        if len(inputs) != 2:
            raise ExportError(f"'{node.name}' calls {node.target.__name__} with a constant; use two values")
        return writer.add(op, node.name, inputs)

    return write


def _concat(writer: _Writer, node: Any, inputs: list[str]) -> str:
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return writer.add("Concat", node.name, inputs, axis=axis)


def _flatten(writer: _Writer, node: Any, inputs: list[str]) -> str:
    start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
    if start != 1:
        raise ExportError(f"'{node.name}' flattens from axis {start}; only from axis 1 can be exported")
    return writer.add("Flatten", node.name, inputs, axis=1)


def _mean(writer: _Writer, node: Any, inputs: list[str]) -> str:
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if list(axes or ()) not in ([2, 3], [-2, -1]):
        raise ExportError(f"'{node.name}' averages over {axes}; only height and width can be exported")
    pooled = writer.add("GlobalAveragePool", f"{node.name}.pool", inputs)
    if (len(node.args) > 2 and node.args[2]) or node.kwargs.get("keepdim"):
        return pooled
    return writer.add("Flatten", node.name, [pooled], axis=1)


def _pool_to_one(writer: _Writer, node: Any, inputs: list[str]) -> str:
    size = node.args[1] if len(node.args) > 1 else node.kwargs.get("output_size")
    if size not in (1, (1, 1), [1, 1]):
        raise ExportError(f"'{node.name}' pools to {size}; only global average pooling can be exported")
    return writer.add("GlobalAveragePool", node.name, inputs)


_FUNCTIONS: dict[str, _WriteFunction] = {
    "adaptive_avg_pool2d": _pool_to_one,
    "add": _binary("Add"),
    "iadd": _binary("Add"),
    "mul": _binary("Mul"),
    "imul": _binary("Mul"),
    "cat": _concat,
    "flatten": _flatten,
    "mean": _mean,
    "relu": lambda writer, node, inputs: writer.add("Relu", node.name, inputs),
    "relu6": lambda writer, node, inputs: _relu6(writer, node.name, inputs[0]),
    "hardswish": lambda writer, node, inputs: writer.add("HardSwish", node.name, inputs),
    "hardsigmoid": lambda writer, node, inputs: writer.add("HardSigmoid", node.name, inputs, alpha=1 / 6, beta=0.5),
    "sigmoid": lambda writer, node, inputs: writer.add("Sigmoid", node.name, inputs),
}
