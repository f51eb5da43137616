"""Generated C on this machine, under sanitizers, against the integer interpreter: single operators and whole nets."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dead_nets import dead_net
from random_nets import random_net
from single_ops import SINGLE_OPS

from export.graph import Graph
from export.ops.interpreter import Interpreter
from export.read_tflite import read_tflite
from export.runtime.build import WARNINGS, host_compiler
from export.write.to_c import to_c
from export.write.to_tflite import to_tflite
from hardware_profiles.cores import InstructionSet

INPUTS = 3
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_MODEL = """#define model_arena arena_{i}
#define model_input input_{i}
#define model_run run_{i}
#define model_output output_{i}
#include "{i}/model.c"
"""


def firmware_outputs(
    models: Sequence[bytes],
    inputs: Sequence[Any],
    instruction_set: InstructionSet,
    directory: Path,
    compiler: str,
    flags: Sequence[str],
    shrink: bool,
) -> list[Any]:
    """Every model's outputs, of one program that holds them all."""
    declarations, rows = [], []
    for i, tflite in enumerate(models):
        sources = to_c(tflite, instruction_set, version="test", shrink=shrink)
        (directory / str(i)).mkdir()
        for name, text in sources.files.items():
            (directory / str(i) / name if name.startswith("model.") else directory / name).write_text(text)
        (directory / f"model_{i}.c").write_text(_MODEL.format(i=i))
        size = sources.graph.tensor(sources.graph.outputs[0]).shape
        declarations.append(f"int8_t *input_{i}(void); void run_{i}(void); const int8_t *output_{i}(void);\n")
        rows.append(f"{{input_{i}, run_{i}, output_{i}, {inputs[i][0].size}, {int(np.prod(size))}}},\n")
    table = (
        f"enum {{ INPUTS = {INPUTS} }};\n{''.join(declarations)}static const model models[] = {{\n{''.join(rows)}}};\n"
    )
    (directory / "table.h").write_text(table)
    shutil.copy(Path(__file__).parent / "many_models.c", directory)
    units = sorted(p.name for p in directory.glob("*.c"))
    command = [compiler, "-std=c99", "-O1", *WARNINGS, *flags, "-I", ".", *units, "-o", "all"]
    subprocess.run(command, cwd=directory, check=True)
    (directory / "in.bin").write_bytes(b"".join(x.tobytes() for x in inputs))
    done = subprocess.run(["./all", "in.bin", "out.bin"], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    content, outputs = np.fromfile(directory / "out.bin", np.int8), []
    for tflite in models:
        graph = read_tflite(tflite)
        shape = (INPUTS, *graph.tensor(graph.outputs[0]).shape[1:])
        outputs.append(content[: np.prod(shape)].reshape(shape))
        content = content[np.prod(shape) :]
    assert not len(content)
    return outputs


def check(
    graphs: Sequence[Graph],
    instruction_set: InstructionSet,
    directory: Path,
    compiler: str,
    flags: Sequence[str] = SANITIZERS,
    shrink: bool = True,
) -> None:
    rng = np.random.default_rng(5)
    models = [to_tflite(graph) for graph in graphs]
    inputs = []
    for graph in graphs:
        x = rng.integers(-128, 128, (INPUTS, *graph.tensor(graph.inputs[0]).shape[1:])).astype(np.int8)
        x[0] = rng.choice([-128, 127], x[0].shape)  # saturating
        inputs.append(x)
    outputs = firmware_outputs(models, inputs, instruction_set, directory, compiler, flags, shrink)
    for i, (tflite, x, got) in enumerate(zip(models, inputs, outputs, strict=True)):
        np.testing.assert_array_equal(got, Interpreter(read_tflite(tflite)).run(x), err_msg=f"graph {i}")


@pytest.fixture
def compiler() -> str:
    command = host_compiler()
    if command is None or len(command) > 1:
        pytest.skip("no cc, gcc or clang is installed: sanitizers need one")
    return command[0]


@pytest.mark.parametrize("instruction_set", ["scalar", "host"])
def test_every_operator_computes_what_the_interpreter_computes(
    instruction_set: InstructionSet, tmp_path: Path, compiler: str
) -> None:
    kinds = [kind for kind in SINGLE_OPS if kind != "reshape"]  # which is no code
    graphs = [SINGLE_OPS[kind](np.random.default_rng([seed, 1])) for kind in kinds for seed in range(5)]
    check(graphs, instruction_set, tmp_path, compiler)


@pytest.mark.parametrize("instruction_set", ["scalar", "host"])
@pytest.mark.parametrize("nets", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_random_nets_compute_what_the_interpreter_computes(
    instruction_set: InstructionSet, nets: int, tmp_path: Path, compiler: str
) -> None:
    check([random_net(np.random.default_rng([seed, 2])) for seed in range(nets)], instruction_set, tmp_path, compiler)


@pytest.mark.parametrize("instruction_set", ["scalar", "host"])
@pytest.mark.parametrize("shrink", [True, False])
def test_networks_with_dead_channels_compute_what_the_interpreter_computes(
    instruction_set: InstructionSet, shrink: bool, tmp_path: Path, compiler: str
) -> None:
    graphs = [dead_net(np.random.default_rng([seed, 5])) for seed in range(30)]
    check(graphs, instruction_set, tmp_path, compiler, shrink=shrink)


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_the_code_has_no_warning_on_gcc_and_clang(name: str, tmp_path: Path) -> None:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    graphs = [build(np.random.default_rng([1, 1])) for kind, build in SINGLE_OPS.items() if kind != "reshape"]
    check(graphs, "scalar", tmp_path, path, flags=())
