"""Generated firmware on emulated cores: every byte, and the costs that it was built for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dead_nets import dead_net
from hand_made import HandMade
from random_nets import random_net, sequence_net
from single_ops import SINGLE_OPS

from export.graph import ExportError, Graph, Node, QParams, Tensor
from export.prove.emulate import Emulator, find_emulator
from export.prove.proof import Proof, prove, reference_outputs
from export.runtime.build import Toolchain, find_toolchain
from export.to_ops import to_ops
from export.write.to_c import Sources, to_c
from export.write.to_tflite import to_tflite
from hardware_profiles.cores import FIRMWARE_CORES, InstructionSet
from hardware_profiles.firmware.flash import firmware_flash
from hardware_profiles.firmware.plan import plan_firmware

FEATURES: dict[str, InstructionSet] = {
    "cortex-m0plus": "scalar",
    "cortex-m3": "scalar",
    "cortex-m4": "dsp",
    "cortex-m7": "dsp",
    "cortex-m33": "dsp",
    "cortex-m55": "mve",
}


def tools(core: str) -> tuple[Toolchain, Emulator]:
    toolchain, emulator = find_toolchain(), find_emulator(FIRMWARE_CORES[core])
    if toolchain is None:
        pytest.skip("no compiler for Cortex-M: neither arm-none-eabi-gcc nor the wheel ziglang")
    if emulator is None:
        pytest.skip(f"no emulator of {core}: neither qemu-system-arm nor the wheel unicorn for it")
    return toolchain, emulator


def proof_of(tflite: bytes, core: str, directory: Path, images: int = 20, sources: Sources | None = None) -> Proof:
    toolchain, emulator = tools(core)
    sources = sources or to_c(tflite, FEATURES[core], version="test")
    shape = sources.graph.tensor(sources.graph.inputs[0]).shape[1:]
    x: Any = np.random.default_rng(0).integers(-128, 128, (images, *shape)).astype(np.int8)
    references = reference_outputs(tflite, x)
    return prove(sources, core, FIRMWARE_CORES[core], x, references, toolchain, emulator, directory)


@pytest.fixture(scope="module")
def resnet8() -> bytes:
    shared = os.environ.get("PIPELINE_SHARED")
    if shared is None:
        pytest.skip("PIPELINE_SHARED names no directory of MLPerf Tiny models")
    return (Path(shared) / "data" / "mlperf-tiny-resnet8" / "int8.tflite").read_bytes()


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_resnet8_is_exact_and_within_its_figures(core: str, resnet8: bytes, tmp_path: Path) -> None:
    proof = proof_of(resnet8, core, tmp_path)
    assert (proof.images, proof.mismatches, proof.first_mismatch) == (20, 0, None)
    if "gcc" not in proof.compiler or "QEMU" not in proof.emulator:
        pytest.skip("the figures are for GCC and QEMU")
    assert proof.instructions <= {"cortex-m7": 18_000_000, "cortex-m55": 4_910_000}[core]
    assert proof.flash_bytes.total <= 92_000
    assert proof.ram_bytes.arena <= 35_500
    assert proof.ram_bytes.total <= 38_000
    assert sum(layer.instructions for layer in proof.layers) == proof.instructions


@pytest.mark.slow
@pytest.mark.parametrize("core", FEATURES)
def test_resnet8_is_exact_on_200_images_on_every_core(core: str, resnet8: bytes, tmp_path: Path) -> None:
    assert proof_of(resnet8, core, tmp_path, images=200).mismatches == 0


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
@pytest.mark.parametrize("nets", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_random_nets_are_exact(core: str, nets: int, tmp_path: Path) -> None:
    for seed in range(nets):
        proof = proof_of(to_tflite(random_net(np.random.default_rng([seed, 3]))), core, tmp_path, images=3)
        assert proof.mismatches == 0, f"seed {seed}: {proof.first_mismatch}"


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
@pytest.mark.parametrize("nets", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_nets_over_sequences_are_exact(core: str, nets: int, tmp_path: Path) -> None:
    for seed in range(nets):
        proof = proof_of(to_tflite(sequence_net(np.random.default_rng([seed, 3]))), core, tmp_path, images=3)
        assert proof.mismatches == 0, f"seed {seed}: {proof.first_mismatch}"


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_networks_with_dead_channels_are_exact(core: str, tmp_path: Path) -> None:
    for seed in range(4):
        tflite = to_tflite(dead_net(np.random.default_rng([seed, 5])))
        whole = to_c(tflite, FEATURES[core], version="test", shrink=False)
        for sources in (to_c(tflite, FEATURES[core], version="test"), whole):
            proof = proof_of(tflite, core, tmp_path, images=3, sources=sources)
            assert proof.mismatches == 0, f"seed {seed}: {proof.first_mismatch}"


def test_a_layer_in_plain_c_says_why(tmp_path: Path) -> None:
    net = HandMade()
    x = net.activation((1, 5, 5, 1))
    y = net.pointwise(x, [[1], [1]], [0, 0], factors=[1 / 8, 1])
    proof = proof_of(to_tflite(net.graph(x, y)), "cortex-m7", tmp_path, images=3)
    (layer,) = proof.layers
    told = "channel 1: its factor is 1/2 or more (sums to 128, factor 1; 1 such channels)"
    assert (layer.kernel, layer.reason, proof.mismatches) == ("nn_conv_c", told, 0)


def test_the_wheels_alone_prove_a_model(tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    import sys

    from export.prove.emulate import _unicorn

    zig = Toolchain("zig", "test", (sys.executable, "-m", "ziglang", "cc"))
    core = FIRMWARE_CORES["cortex-m7"]
    tflite = to_tflite(random_net(np.random.default_rng([1, 3])))
    sources = to_c(tflite, "dsp", version="test")
    x = np.random.default_rng(0).integers(-128, 128, (3, *sources.graph.tensor(sources.graph.inputs[0]).shape[1:]))
    inputs = x.astype(np.int8)
    emulator = Emulator("Unicorn", lambda elf, seconds: _unicorn(elf, core, seconds))
    proof = prove(sources, "cortex-m7", core, inputs, reference_outputs(tflite, inputs), zig, emulator, tmp_path)
    assert proof.mismatches == 0
    assert proof.instructions > 0
    assert proof.ram_bytes.stack > 0


def test_a_wrong_weight_is_found_at_its_layer(tmp_path: Path) -> None:
    tflite = to_tflite(random_net(np.random.default_rng([4, 3])))
    right = to_c(tflite, "dsp", version="test")
    name = right.layers[1].name
    text = right.files["model.c"]
    start = text.index(f"{name}_bias[")
    first = text.index("{", start) + 1
    end = text.index(",", first) if "," in text[first : text.index("}", first)] else text.index("}", first)
    broken = {**right.files, "model.c": text[:first] + " 99999999" + text[end:]}
    proof = proof_of(tflite, "cortex-m7", tmp_path, images=3, sources=replace(right, files=broken))
    assert proof.mismatches > 0
    assert proof.first_mismatch is not None
    assert proof.first_mismatch.layer == right.layers[1].title


def test_flash_and_arena_are_as_planned(resnet8: bytes, tmp_path: Path) -> None:
    proof = proof_of(resnet8, "cortex-m4", tmp_path)
    ops = to_ops(to_c(resnet8, "dsp", version="test").graph)
    plan = plan_firmware(ops, "dsp")
    assert proof.ram_bytes.arena == plan.memory.peak_bytes
    flash = firmware_flash(ops, plan, "cortex-m4", "dsp")
    assert flash.data == pytest.approx(proof.flash_bytes.data, abs=16)  # padding differs between linkers
    if "GCC" in proof.compiler.upper():  # what the sizes of code were measured with; clang unrolls more
        assert flash.data == proof.flash_bytes.data
        assert flash.code == pytest.approx(proof.flash_bytes.code, rel=0.05)


def test_an_operator_without_kernel_is_named() -> None:
    graph = SINGLE_OPS["relu"](np.random.default_rng(0))
    content = to_tflite(graph)
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.ABS
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.ABS
    import flatbuffers

    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ExportError, match=r"node '0 ABS' is a ABS; the firmware does CONV_2D, .*SOFTMAX"):
        to_c(bytes(builder.Output()), "scalar", version="test")


def test_the_header_tells_what_an_application_needs() -> None:
    graph = SINGLE_OPS["fully_connected"](np.random.default_rng(0))
    tflite = to_tflite(graph)
    channels = graph.tensor(graph.outputs[0]).shape[1]
    labels = ('say "hi"', *(f"class {i}" for i in range(1, channels)))
    sources = to_c(tflite, "scalar", version="1.2.3", labels=labels)
    header = sources.files["model.h"]
    assert '#define MODEL_GENERATOR_VERSION "1.2.3"' in header
    assert f"#define MODEL_OUTPUT_VALUES {channels}" in header
    assert f"#define MODEL_ARENA_BYTES {sources.plan.memory.peak_bytes}" in header
    assert '"say \\042hi\\042"' in sources.files["model.c"]


def test_a_layer_too_wide_for_the_kernels_is_named() -> None:
    def activation(name: str, values: int) -> Tensor:
        return Tensor(name, (1, values), "int8", QParams(np.array([0.1], np.float32), np.array([0])))

    weights = np.ones((2, 40_000), np.int8)
    scales = QParams(np.array([0.1, 0.1], np.float32), np.array([0, 0]))
    tensors = (activation("x", 40_000), Tensor("w", weights.shape, "int8", scales, weights), activation("y", 2))
    node = Node("FULLY_CONNECTED", "wide", ("x", "w"), ("y",))
    content = to_tflite(Graph((node,), {t.name: t for t in tensors}, ("x",), ("y",)))
    with pytest.raises(ExportError, match=r"FULLY_CONNECTED\): in_c is 40,000; the kernels take at most 32,767"):
        to_c(content, "scalar", version="test")
