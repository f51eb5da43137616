"""torch -> float ONNX, written with onnx's own helpers: names from module paths, nothing left over from an exporter.

The module is traced by torch.fx; each layer or function that it calls belongs to an operator of
export.ops.table. Batch is symbolic, so that onnxruntime can evaluate many images at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.graph import ExportError
from export.onnx_graph import OPSET
from export.ops.onnx_writer import OnnxWriter
from export.ops.table import FUNCTIONS, LAYERS

if TYPE_CHECKING:
    from torch import nn

_NOTHING = ("Identity", "Dropout")  # layers that evaluation mode leaves out


def to_onnx(
    module: nn.Module, input_shape_nchw: tuple[int, int, int, int], *, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Serialized float ONNX of an eval-mode module; input `image`, output `logits`.

    Args:
        module: calls only layers and functions of export.ops.table.
        input_shape_nchw: its batch entry is replaced by a symbolic one.
        metadata: stored as the model's metadata_props.

    Raises:
        ExportError: a layer or function outside that table, by its path.
    """
    import onnx
    from onnx import TensorProto, helper
    from torch import fx

    writer = OnnxWriter()
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


def _emit(writer: OnnxWriter, node: Any, layers: Mapping[str, nn.Module]) -> None:
    if node.op == "placeholder":
        writer.names[node.name] = "image"
        return
    if node.op == "output":
        _rename_output(writer, writer.names[node.args[0].name])
        return
    if node.op == "call_module":
        _emit_layer(writer, node, layers[node.target])
        return
    write = FUNCTIONS.get(getattr(node.target, "__name__", str(node.target)))
    if write is None:
        raise ExportError(
            f"'{node.name}' calls {getattr(node.target, '__name__', node.target)}; exportable are layers and "
            f"{', '.join(sorted(FUNCTIONS))}"
        )
    operands = node.args[0] if isinstance(node.args[0], list | tuple) else node.args
    inputs = [writer.names[a.name] for a in operands if hasattr(a, "name")]
    if any(name in writer.pads for name in inputs):
        raise ExportError(f"'{node.name}' reads padding; only a convolution can take it over")
    writer.names[node.name] = write(writer, node, inputs)


def _emit_layer(writer: OnnxWriter, node: Any, layer: nn.Module) -> None:
    kind, x = type(layer).__name__, writer.names[node.args[0].name]
    if kind not in (*LAYERS, *_NOTHING):
        exportable = ", ".join(sorted((*LAYERS, *_NOTHING)))
        raise ExportError(f"layer '{node.target}' is a {kind}; exportable are {exportable}")
    if x in writer.pads and kind != "Conv2d":
        raise ExportError(f"layer '{node.target}' reads padding; only a convolution can take it over")
    name = str(node.target)
    if any(n.name == name for n in writer.nodes):
        if any(True for _ in layer.parameters()):
            raise ExportError(f"layer '{name}' is called twice; give each call a layer of its own")
        name = node.name  # an activation module that several places call, as torchvision's ResNet does
    writer.names[node.name] = x if kind in _NOTHING else LAYERS[kind](writer, name, x, layer)


def _rename_output(writer: OnnxWriter, name: str) -> None:
    for node in writer.nodes:
        node.input[:] = ["logits" if i == name else i for i in node.input]
        if node.output[0] == name:
            node.output[0] = "logits"
