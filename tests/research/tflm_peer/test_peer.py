"""A user's TFLite Micro beside the firmware: finding it, building it by our rules, errors, and what is reported."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_tflm import copying_model, write_tiny_cmsis_nn, write_tiny_tflm

from export.graph import ExportError
from export.prove.emulate import find_emulator
from export.prove.proof import reference_outputs
from export.runtime.build import Toolchain, find_toolchain
from export.write.to_c import to_c
from hardware_profiles.cores import FIRMWARE_CORES
from research.tflm_peer import peer
from research.tflm_peer.peer import Checkout, Peer, cxx_compiler, find_checkout, prove_peer

CORE = "cortex-m4"


def prove_tree(tree: Path, directory: Path, model: bytes | None = None) -> Peer:
    toolchain, emulator = find_toolchain(), find_emulator(FIRMWARE_CORES[CORE])
    if toolchain is None or emulator is None:
        pytest.skip(f"no compiler or no emulator of {CORE}")
    try:
        cxx_compiler(toolchain)
    except ExportError as error:
        pytest.skip(str(error))
    directory.mkdir()
    tflite = model or copying_model()
    sources = to_c(tflite, "dsp", version="test")
    shape = sources.graph.tensor(sources.graph.inputs[0]).shape[1:]
    x = np.random.default_rng(0).integers(-128, 127, (20, *shape)).astype(np.int8)
    expected = reference_outputs(tflite, x)["integer interpreter"]
    return prove_peer(
        find_checkout(tree), tflite, sources, CORE, FIRMWARE_CORES[CORE], x, expected, toolchain, emulator, directory
    )


def test_a_tree_is_built_run_and_measured(tmp_path: Path) -> None:
    found = prove_tree(write_tiny_tflm(tmp_path / "tree"), tmp_path / "build")
    assert found.name == "TFLite Micro, reference kernels"
    assert (found.core, found.images, found.mismatches) == (CORE, 20, 0)
    assert 192 <= found.instructions < 10_000  # a copy of 192 values
    assert found.ram_bytes.arena == 1234  # what the interpreter says, not what it was given
    assert found.flash_bytes.data >= len(copying_model())
    assert 0 < found.ram_bytes.stack < 1000


def test_cmsis_nn_is_used_where_the_tree_has_it(tmp_path: Path) -> None:
    found = prove_tree(write_tiny_cmsis_nn(write_tiny_tflm(tmp_path / "tree")), tmp_path / "build")
    assert (found.name, found.mismatches) == ("TFLite Micro with CMSIS-NN", 0)


def test_inputs_whose_output_differs_are_counted(tmp_path: Path) -> None:
    assert prove_tree(write_tiny_tflm(tmp_path / "tree", added="+ (i == 5)"), tmp_path / "build").mismatches == 20


def test_an_arena_too_small_says_what_it_had(tmp_path: Path) -> None:
    tree = write_tiny_tflm(tmp_path / "tree", needed="(8u << 20)")
    with pytest.raises(ExportError, match=r"on cortex-m4: the arena is too small: .* with 4,128,768 bytes"):
        prove_tree(tree, tmp_path / "build")


@pytest.mark.slow
def test_more_instructions_than_the_counter_holds_are_no_figure(tmp_path: Path) -> None:
    loop = "; for (volatile int k = 0; k < 200000000; k++) {}"  # over 2^24 ticks of 40
    with pytest.raises(ExportError, match="one inference takes longer than the board's counter can tell"):
        prove_tree(write_tiny_tflm(tmp_path / "tree", added=loop), tmp_path / "build")


def test_the_compiler_is_quoted_when_the_build_fails(tmp_path: Path) -> None:
    tree = write_tiny_tflm(tmp_path / "tree")
    (tree / "tensorflow/lite/micro/kernels/pooling.cc").write_text("#error a kernel of another age")
    with pytest.raises(ExportError, match=r"g\+\+ failed: .*pooling\.cc:1:2: error: #error a kernel of another age"):
        prove_tree(tree, tmp_path / "build")


def test_what_is_no_checkout_is_told_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"no TFLite Micro tree: it has no tensorflow/lite/micro/micro_interpreter\.h"
    ):
        find_checkout(tmp_path)


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    tree = write_tiny_tflm(tmp_path / "tree")
    (tree / "third_party/gemmlowp/fixedpoint/fixedpoint.h").unlink()
    with pytest.raises(ExportError, match=r"lacks fixedpoint/fixedpoint\.h \(gemmlowp\); generate the tree"):
        find_checkout(tree)


def test_libraries_are_found_wherever_they_lie(tmp_path: Path) -> None:
    tree = write_tiny_tflm(tmp_path / "tree")
    downloads = tree / "tensorflow/lite/micro/tools/make/downloads"
    downloads.parent.mkdir(parents=True)
    (tree / "third_party").rename(downloads)
    assert downloads.resolve() / "gemmlowp" in find_checkout(tree).includes


def test_a_kernel_that_only_cmsis_nn_has_needs_cmsis_nn(tmp_path: Path) -> None:
    tree = write_tiny_cmsis_nn(write_tiny_tflm(tmp_path / "tree"))
    checkout: Checkout = replace(find_checkout(tree), cmsis_nn=None)
    with pytest.raises(ExportError, match=r"has no pooling\.cc; .* needs Include/arm_nnfunctions\.h"):
        list(peer._units(checkout, ["MAX_POOL_2D"]))


def test_a_toolchain_without_cxx_is_refused() -> None:
    with pytest.raises(ExportError, match=r"needs arm-none-eabi-g\+\+ .*libstdc\+\+-arm-none-eabi-newlib"):
        cxx_compiler(Toolchain("zig", "0", ("zig", "cc")))


@pytest.mark.slow
def test_a_real_tree_computes_the_same_resnet8(tmp_path: Path) -> None:
    tree, shared = os.environ.get("TFLM_TREE"), os.environ.get("PIPELINE_SHARED")
    if tree is None or shared is None:
        pytest.skip("TFLM_TREE names no tree of TFLite Micro, or PIPELINE_SHARED no models")
    model = (Path(shared) / "data" / "mlperf-tiny-resnet8" / "int8.tflite").read_bytes()
    found = prove_tree(Path(tree), tmp_path / "build", model)
    assert found.mismatches == 0
    assert found.instructions > 20_000_000
    assert 50_000 < found.ram_bytes.arena < 60_000
