"""What our C firmware makes of a network's operators: fewer steps, buffers written in place, scratch.

    RESHAPE                     no step: its output is its input's buffer
    convolution, then ADD       one step: the convolution's epilogue adds, over the other summand where that is read
                                no more
    ADD, MUL, activation        over an input that is read no more
    depthwise, stride 1         over its input, as kernels copy a channel before they write it (in-place depthwise of
                                MCUNetV2, Lin et al. 2021, arXiv 2110.15352, does it row by row)

The generator obeys this plan and the footprint counts it, so that the search and the shipped firmware can't disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hardware_profiles.cores import InstructionSet
from hardware_profiles.cost.memory import MemoryPlan, plan_memory, scratch_name
from hardware_profiles.cost.ops import OpSpec, TensorSpec
from hardware_profiles.firmware.kernels import candidates, scratch_bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One kernel call.

    Attributes:
        op: index of the operator it does.
        add: index of the ADD that its epilogue does, too.
        output: name of the tensor it leaves.
    """

    op: int
    output: str
    add: int | None = None


@dataclass(frozen=True, slots=True)
class FirmwarePlan:
    """Steps in execution order and where every tensor lies.

    Attributes:
        buffers: tensor to the buffer it lives in, by the name of the first tensor there.
        memory: placement of the buffers; its operators are the steps.
    """

    steps: tuple[Step, ...]
    buffers: Mapping[str, str]
    memory: MemoryPlan

    def offset(self, tensor: str) -> int:
        """Byte offset of a tensor in the arena."""
        return self.memory.offsets[self.buffers[tensor]]

    def scratch_offset(self, step: int) -> int | None:
        """Byte offset of a step's scratch, None where it has none."""
        return self.memory.offsets.get(scratch_name(step))

    def live_bytes(self, operators: int) -> tuple[int, ...]:
        """Bytes alive during the step that does each of the network's operators; 0 of a RESHAPE, which none does."""
        live = [0] * operators
        for step, nbytes in zip(self.steps, self.memory.live_bytes, strict=True):
            for op in (step.op, step.add):
                if op is not None:
                    live[op] = nbytes
        return tuple(live)


def plan_firmware(ops: Sequence[OpSpec], instruction_set: InstructionSet) -> FirmwarePlan:
    """Plan a network's steps and its arena.

    Args:
        ops: in execution order.
        instruction_set: of the core, see `hardware_profiles.cores.instruction_set`.
    """
    readers = _readers(ops)
    fused = _fused_adds(ops, readers)
    buffers: dict[str, str] = {}
    steps: list[Step] = []
    specs: list[OpSpec] = []
    for i, op in enumerate(ops):
        for tensor in op.inputs:
            buffers.setdefault(tensor.name, tensor.name)
        if op.kind == "reshape":
            buffers[op.output.name] = buffers[op.inputs[0].name]
            continue
        if i in fused.values():
            continue
        add = fused.get(i)
        output = op.output if add is None else ops[add].output
        residual = () if add is None else tuple(t for t in ops[add].inputs if t.name != op.output.name)
        writable = _writable(op, residual, buffers, instruction_set)
        wanted = _wanted_after(i, add, readers, buffers) if writable else set()
        free = [t for t in writable if buffers[t.name] not in wanted]
        buffers[output.name] = buffers[free[0].name] if free else output.name
        steps.append(Step(i, output.name, add))
        specs.append(
            replace(
                op,
                inputs=tuple(_in_buffer(t, buffers) for t in (*op.inputs, *residual)),
                output=_in_buffer(output, buffers),
                scratch_bytes=scratch_bytes(op, instruction_set),
            )
        )
    kept = tuple(replace(t, name=buffers[t.name]) for t in _outputs(ops, readers))
    specs[-1] = replace(specs[-1], inputs=(*specs[-1].inputs, *kept))  # graph outputs stay alive to the end
    return FirmwarePlan(tuple(steps), buffers, plan_memory(specs))


def _readers(ops: Sequence[OpSpec]) -> dict[str, list[int]]:
    """Indices of the operators that read a tensor; those of a graph output end with one after the last."""
    readers: dict[str, list[int]] = {op.output.name: [] for op in ops}
    for i, op in enumerate(ops):
        for tensor in op.inputs:
            readers.setdefault(tensor.name, []).append(i)
    for indices in readers.values():
        if not indices:
            indices.append(len(ops))
    return readers


def _outputs(ops: Sequence[OpSpec], readers: Mapping[str, list[int]]) -> list[TensorSpec]:
    """The graph's outputs but for the last operator's."""
    return [op.output for op in ops[:-1] if readers[op.output.name] == [len(ops)]]


def _fused_adds(ops: Sequence[OpSpec], readers: Mapping[str, list[int]]) -> dict[int, int]:
    """Convolution to the ADD that its epilogue does: the one reader of its output, with the other summand at hand."""
    written = {op.output.name: i for i, op in enumerate(ops)}
    fused: dict[int, int] = {}
    for i, op in enumerate(ops):
        if op.kind != "add" or len(op.inputs) != 2 or op.inputs[0].shape != op.inputs[1].shape:
            continue
        other, last = sorted(op.inputs, key=lambda t: written.get(t.name, -1))
        producer = written.get(last.name)
        if producer is not None and ops[producer].kind == "conv" and readers[last.name] == [i] and last != other:
            fused[producer] = i
    return fused


def _wanted_after(i: int, add: int | None, readers: Mapping[str, list[int]], buffers: Mapping[str, str]) -> set[str]:
    """Buffers that a later step reads. The ADD that operator `i` does is no later step, what lies between them is."""
    return {where for name, where in buffers.items() if any(reader > i and reader != add for reader in readers[name])}


def _writable(
    op: OpSpec, residual: Sequence[TensorSpec], buffers: Mapping[str, str], instruction_set: InstructionSet
) -> Sequence[TensorSpec]:
    """Tensors that the operator's kernel can write its output over."""
    if residual:  # a convolution reads its input again after its first output is written
        return [t for t in residual if buffers[t.name] not in {buffers[x.name] for x in op.inputs}]
    kernels = candidates(instruction_set, op)
    if kernels and all(kernel.in_place(op) for kernel in kernels):
        return [t for t in op.inputs if t.shape == op.output.shape]
    return []


def _in_buffer(tensor: TensorSpec, buffers: Mapping[str, str]) -> TensorSpec:
    name = buffers[tensor.name]
    return tensor if name == tensor.name else replace(tensor, name=name)
