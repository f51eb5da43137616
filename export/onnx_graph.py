"""An ONNX graph as passes change it: nodes in order, constants as arrays, who reads and who writes each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.graph import Array, ExportError

OPSET = 17
_OLDEST_OPSET = 11


@dataclass(slots=True, eq=False)
class OnnxGraph:
    """A model that is being changed.

    Attributes:
        nodes: `NodeProto`s in execution order.
        constants: initializers by name.
        inputs: value infos of the activations that come in.
        outputs: value infos.
        opset: of the default domain.
        domains: versions of other domains; their operators are kept by name only.
        metadata: the model's own.
    """

    name: str
    nodes: list[Any]
    constants: dict[str, Array]
    inputs: list[Any]
    outputs: list[Any]
    opset: int
    domains: Mapping[str, int]
    metadata: Mapping[str, str]

    def writer(self, name: str) -> Any:
        """The node that writes a value, or None."""
        return next((node for node in self.nodes if name in node.output), None)

    def readers(self, name: str) -> list[Any]:
        """The nodes that read a value."""
        return [node for node in self.nodes if name in node.input]

    def is_output(self, name: str) -> bool:
        """Whether a value leaves the graph."""
        return any(output.name == name for output in self.outputs)

    def only_reader(self, name: str) -> Any:
        """The node that alone reads a value, or None where there are several or the value is an output."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and not self.is_output(name) else None

    def replace(self, node: Any, *replacements: Any) -> None:
        """Put other nodes in a node's place."""
        at = next(i for i, other in enumerate(self.nodes) if other is node)
        self.nodes[at : at + 1] = replacements

    def constant(self, node: Any, index: int) -> Array | None:
        """A constant input of a node; None where it is computed or absent."""
        return self.constants.get(node.input[index]) if index < len(node.input) else None

    def serialize(self) -> bytes:
        """Checked, deterministic bytes."""
        import onnx

        model = onnx.shape_inference.infer_shapes(self.to_model())  # a foreign output may have no shape
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def to_model(self) -> Any:
        """A `ModelProto`, without constants that nobody reads."""
        from onnx import helper, numpy_helper

        read = {name for node in self.nodes for name in node.input}
        initializers = [
            numpy_helper.from_array(np.asarray(v, order="C"), n) for n, v in self.constants.items() if n in read
        ]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, initializers)
        imports = [helper.make_opsetid(name, version) for name, version in (("", self.opset), *self.domains.items())]
        model = helper.make_model(graph, opset_imports=imports, producer_name="flatnas-deploy", ir_version=8)
        helper.set_model_props(model, dict(self.metadata))
        return model


def onnx_content(path: Path) -> bytes:
    """The bytes of an ONNX file; weights that it keeps in other files beside it are brought in.

    Raises:
        ExportError: such a file is missing, damaged, or not beside it.
    """
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    content = path.read_bytes()
    if b"location" not in content:  # the key of external data
        return content
    model = _parsed(content, path.name)
    if not any(uses_external_data(tensor) for tensor in model.graph.initializer):
        return content
    try:
        load_external_data_for_model(model, str(path.parent))
        whole: bytes = model.SerializeToString()
    except Exception as error:  # protobuf and onnx raise many kinds
        raise ExportError(f"{path.name}: its weights in other files can't be read: {_reason(error)}") from error
    return whole


def _parsed(content: bytes, name: str) -> Any:
    import onnx

    try:
        model = onnx.load_model_from_string(content)
        if not model.graph.input or not model.graph.node:
            raise ValueError("no graph")
    except Exception as error:  # protobuf and onnx raise many kinds; all mean an unreadable file
        raise ExportError(f"{name} is not a readable ONNX model: {_reason(error)}") from error
    return model


def parse_onnx(content: bytes, name: str = "model") -> OnnxGraph:
    """Read serialized ONNX: constants collected, identities removed, operators of one version.

    Raises:
        ExportError: not an ONNX model, or an opset that is too old or too new.
    """
    import onnx
    from onnx import numpy_helper

    model = _parsed(content, name)
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    newest = onnx.defs.onnx_opset_version()
    if not _OLDEST_OPSET <= opset <= newest:
        raise ExportError(
            f"{name} is of opset {opset}; {_OLDEST_OPSET} to {newest} can be read: export it with opset {OPSET}"
        )
    if opset < OPSET:
        try:
            model = onnx.version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter's errors are plain RuntimeErrors
            raise ExportError(
                f"{name} is of opset {opset} and can't be brought to {OPSET}: {_reason(error)}"
            ) from error
    graph = OnnxGraph(
        name=model.graph.name,
        nodes=[],
        constants={i.name: numpy_helper.to_array(i) for i in model.graph.initializer},
        inputs=[i for i in model.graph.input if i.name not in {c.name for c in model.graph.initializer}],
        outputs=list(model.graph.output),
        opset=max(opset, OPSET),
        domains={o.domain: o.version for o in model.opset_import if o.domain not in ("", "ai.onnx")},
        metadata={p.key: p.value for p in model.metadata_props},
    )
    _collect(graph, model.graph.node)
    return graph


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as Python values."""
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def clip_bounds(graph: OnnxGraph, clip: Any) -> tuple[float, float]:
    """Bounds of a Clip; infinite where open.

    Raises:
        ExportError: a bound that is computed.
    """
    bounds = []
    for index, default in ((1, -np.inf), (2, np.inf)):
        if index >= len(clip.input) or not clip.input[index]:
            bounds.append(default)
            continue
        value = graph.constant(clip, index)
        if value is None:
            raise ExportError(f"node '{clip.name}' (Clip): its bounds are computed, not constant")
        bounds.append(float(value.item()))
    return bounds[0], bounds[1]


def _collect(graph: OnnxGraph, nodes: Any) -> None:
    """Nodes named and in order; constants and identities are no nodes."""
    from onnx import numpy_helper

    alias: dict[str, str] = {}
    for i, node in enumerate(nodes):
        node.input[:] = [alias.get(name, name) for name in node.input]
        if not node.name:
            node.name = f"{node.op_type}_{i}"
        if node.op_type == "Constant":
            value = next((a for a in node.attribute if a.name == "value"), None)
            if value is None:
                raw = next(iter(attributes(node).values()))
                graph.constants[node.output[0]] = np.asarray(raw)
            else:
                graph.constants[node.output[0]] = numpy_helper.to_array(value.t)
        elif node.op_type in ("Identity", "Dropout") and not graph.is_output(node.output[0]):
            if node.input[0] in graph.constants:
                graph.constants[node.output[0]] = graph.constants[node.input[0]]
            else:
                alias[node.output[0]] = node.input[0]
        else:
            graph.nodes.append(node)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
