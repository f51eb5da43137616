"""Counts instructions on emulated cores and fits `hardware_profiles/firmware/instruction_weights.py` to them.

    python -m research.instruction_weights DIRECTORY

It needs arm-none-eabi-gcc, QEMU and the extra `train`, goes on where it was stopped, and takes an hour. It fits to the
layers of eight random subnets, to the operators of random graphs and to small random nets; 23 other subnets are held
out, and their totals are written to `firmware_instructions.json`, which test_instructions.py holds the weights against.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS / "export"))

import random_nets  # noqa: E402
import single_ops  # noqa: E402
from small_nets import randomise  # noqa: E402

from export.calibrate import calibrate  # noqa: E402
from export.graph import ExportError, Graph  # noqa: E402
from export.passes.canonical import canonical  # noqa: E402
from export.prove.emulate import find_emulator  # noqa: E402
from export.prove.proof import prove  # noqa: E402
from export.quantize import quantize_graph  # noqa: E402
from export.read_onnx import read_onnx  # noqa: E402
from export.read_tflite import read_tflite  # noqa: E402
from export.runtime.build import find_toolchain  # noqa: E402
from export.to_ops import to_ops  # noqa: E402
from export.write.fold import fold_batch_norm  # noqa: E402
from export.write.to_c import to_c  # noqa: E402
from export.write.to_onnx import to_onnx  # noqa: E402
from export.write.to_tflite import to_tflite  # noqa: E402
from flatnas.nets.supernet import Subnet  # noqa: E402
from flatnas.space.spaces import mcu_space  # noqa: E402
from hardware_profiles.cores import CORES, FIRMWARE_CORES, InstructionSet, compiled_for, instruction_set  # noqa: E402
from hardware_profiles.firmware.instructions import step_terms  # noqa: E402
from hardware_profiles.firmware.plan import plan_firmware  # noqa: E402

FITTED, HELD_OUT = range(8), range(8, 31)
OPERATORS = ("add", "mul", "mean", "max_pool", "pad", "softmax", "concatenation", "average_pool", "relu")
LEAST = 2000  # instructions; below it an error does not matter


def kernels_of(core: str) -> InstructionSet:
    """The kernels of a chip that has all that its core can have."""
    kernels = instruction_set(core, CORES[core].features)
    assert kernels is not None
    return kernels


def subnet(seed: int) -> Graph:
    """A random subnet with random weights, every fifth with hard-swish."""
    import torch

    torch.set_num_threads(1)
    space = mcu_space(10, 32, "hard_swish" if seed % 5 == 4 else "relu6", entry_residuals=True)
    rng = np.random.default_rng(seed)
    arch = space.sample_by_size(rng)
    shape = (1, 3, arch.resolution, arch.resolution)
    onnx = to_onnx(fold_batch_norm(randomise(Subnet(space, arch), seed)), shape, metadata={})
    x = np.random.default_rng(seed).uniform(-1, 1, (16, *shape[1:])).astype(np.float32)
    qdq = quantize_graph(canonical(onnx), calibrate(onnx, x), (np.float32(1 / 128), 0))
    return read_tflite(to_tflite(read_onnx(qdq)))


def graphs() -> Iterator[tuple[str, int, Graph]]:
    """What is counted: subnets, graphs of one operator, and small random nets."""
    for seed in (*FITTED, *HELD_OUT):
        yield "subnet", seed, subnet(seed)
    for seed in range(4):
        for name in OPERATORS:
            yield name, seed, getattr(single_ops, name)(np.random.default_rng(seed))
    for seed in range(12):
        yield "random_net", seed, random_nets.random_net(np.random.default_rng(seed))
    for seed in range(16):
        yield "sequence_net", seed, random_nets.sequence_net(np.random.default_rng(seed))


def count(directory: Path) -> list[dict[str, Any]]:
    """Each graph's instructions per step on each core, kept in `counts.jsonl`."""
    file = directory / "counts.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = {(row["name"], row["seed"], row["core"]) for row in rows}
    toolchain = find_toolchain()
    assert toolchain is not None
    for name, seed, graph in graphs():
        shape = graph.tensor(graph.inputs[0]).shape
        x = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
        for core, known_core in FIRMWARE_CORES.items():
            if (name, seed, core) in known:
                continue
            emulator = find_emulator(known_core)
            assert emulator is not None
            sources = to_c(to_tflite(graph), kernels_of(core), version="0", shrink=False)
            try:
                with tempfile.TemporaryDirectory() as build:
                    proof = prove(sources, core, known_core, x, {}, toolchain, emulator, Path(build))
            except ExportError:  # larger than the board's flash
                continue
            row = {"name": name, "seed": seed, "core": core}
            row["kernels"] = [layer.kernel for layer in proof.layers]
            row["counts"] = [layer.instructions for layer in proof.layers]
            rows.append(row)
            with file.open("a") as out:
                out.write(json.dumps(row) + "\n")
    return rows


def fit(rows: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """The weights of each kernel's terms, by relative error."""
    ops = {(name, seed): to_ops(graph) for name, seed, graph in graphs()}
    samples: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["name"] == "subnet" and row["seed"] in HELD_OUT:
            continue
        kernels = kernels_of(row["core"])
        network = ops[row["name"], row["seed"]]
        for step, kernel, counted in zip(
            plan_firmware(network, kernels).steps, row["kernels"], row["counts"], strict=True
        ):
            for name, terms in step_terms(network[step.op], step.add is not None, kernels):
                if name.split()[0] == kernel:  # some layers' numbers leave them the portable one
                    samples[compiled_for(row["core"], kernels)][name].append((terms, counted))
    weights: dict[str, dict[str, list[float]]] = {}
    for table, kinds in sorted(samples.items()):
        weights[table] = {}
        for kind, found in sorted(kinds.items()):
            A = np.array([terms for terms, _ in found], np.float64)
            y = np.array([counted for _, counted in found], np.float64)
            scale = 1 / np.maximum(y, LEAST)
            weights[table][kind] = nnls(A * scale[:, None], y * scale)[0].tolist()
    return weights


def write(rows: list[dict[str, Any]], weights: dict[str, dict[str, list[float]]]) -> None:
    """The module of weights, and the totals of the subnets held out."""
    text = [
        '"""Instructions per run of a loop\'s body: by research/instruction_weights.py."""',
        "\nfrom __future__ import annotations\n\nfrom collections.abc import Mapping\n",
        "WEIGHTS: Mapping[str, Mapping[str, tuple[float, ...]]] = {",
    ]
    for table, kinds in weights.items():
        text += [f'    "{table}": {{']
        text += [f'        "{kind}": ({", ".join(f"{w:.5g}" for w in row)}),' for kind, row in kinds.items()]
        text += ["    },"]
    (TESTS.parent / "hardware_profiles" / "firmware" / "instruction_weights.py").write_text("\n".join([*text, "}", ""]))
    held_out = [
        {"seed": seed, "instructions": {r["core"]: sum(r["counts"]) for r in rows if _is_subnet(r, seed)}}
        for seed in HELD_OUT
    ]
    (TESTS / "hardware_profiles" / "firmware" / "firmware_instructions.json").write_text(
        json.dumps(held_out, indent=1) + "\n"
    )


def _is_subnet(row: dict[str, Any], seed: int) -> bool:
    return bool(row["name"] == "subnet" and row["seed"] == seed)


if __name__ == "__main__":
    counted = count(Path(sys.argv[1]))
    write(counted, fit(counted))
