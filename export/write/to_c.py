"""TFLite -> C99 sources: any int8 model whose operators have kernels in export/runtime.

Read on in `layers` (nodes to kernel calls) and `source` (the text). Each operator's file in export/ops tells its call;
hardware_profiles.firmware decides which kernel does it and what lies where in the arena.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from export.graph import Graph
from export.ops.layer import Layer
from export.passes.constant_channels import plain_constants
from export.passes.dead_channels import DeadChannel, Shrunk, without_dead_channels
from export.read_tflite import read_tflite
from export.to_ops import to_ops
from export.write.layers import check_supported, lower
from export.write.source import ModelFacts, model_header, model_source
from hardware_profiles.cores import InstructionSet
from hardware_profiles.firmware.plan import FirmwarePlan, plan_firmware

_HEADERS = ("nn.h", "nn_kernels.h")


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """C sources of a model.

    Attributes:
        files: name to text; flat, headers beside sources.
        graph: that they compute: of the file's, what its outputs depend on.
        layers: one per kernel call.
        removed: channels of the file that were left out.
    """

    files: Mapping[str, str]
    graph: Graph
    plan: FirmwarePlan
    layers: tuple[Layer, ...]
    removed: tuple[DeadChannel, ...]


def to_c(
    tflite: bytes,
    instruction_set: InstructionSet,
    *,
    version: str,
    labels: tuple[str, ...] = (),
    shrink: bool = True,
) -> Sources:
    """Generate the sources of a model for an instruction set.

    Args:
        tflite: the file.
        version: of the generator, for the header.
        labels: of the output's values, none to leave them out.
        shrink: leave out the channels that no output depends on, which is exact.

    Raises:
        ExportError: an operator, option or type that no kernel does; names the node and lists what is supported.
    """
    graph = read_tflite(tflite)
    check_supported(graph)
    shrunk = without_dead_channels(graph) if shrink else Shrunk(graph, {}, ())
    graph = plain_constants(shrunk.graph)
    plan = plan_firmware(to_ops(graph), instruction_set)
    layers = lower(graph, plan, instruction_set)
    facts = ModelFacts(hashlib.sha256(tflite).hexdigest(), version, plan.memory.peak_bytes, labels)
    offsets = (plan.offset(graph.inputs[0]), plan.offset(graph.outputs[0]))
    used = sorted({name for layer in layers for name in layer.kernel.files} | set(_HEADERS))
    runtime = files("export") / "runtime"
    text = {name: (runtime / name).read_text() for name in used}
    text["model.h"] = model_header(graph, facts)
    text["model.c"] = model_source(graph, layers, facts, offsets)
    return Sources(text, graph, plan, layers, shrunk.removed)


def plain_layers(graph: Graph, instruction_set: InstructionSet) -> tuple[Layer, ...]:
    """The layers that run in portable C though the core has a faster kernel of their kind; `reason` says why.

    Args:
        graph: that firmware can be made of, without dead channels.
    """
    graph = plain_constants(graph)
    layers = lower(graph, plan_firmware(to_ops(graph), instruction_set), instruction_set)
    return tuple(layer for layer in layers if layer.reason)
