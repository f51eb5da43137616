"""Flash of the firmware as the search counts it, against what the linker makes of the exported subnet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.calibrate import calibrate
from export.passes.canonical import canonical
from export.quantize import quantize_graph
from export.read_onnx import read_onnx
from export.runtime.build import build_proof, find_toolchain
from export.write.fold import fold_batch_norm
from export.write.to_c import to_c
from export.write.to_onnx import to_onnx
from export.write.to_tflite import to_tflite
from flatnas.nets.supernet_file import load_supernet
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from flatnas.training.train import recalibrate
from hardware_profiles.cores import FIRMWARE_CORES, instruction_set
from hardware_profiles.firmware.flash import firmware_flash
from hardware_profiles.firmware.plan import plan_firmware
from pipeline.shipped import shipped_supernet

TOOLCHAIN = find_toolchain()
SPACE = mcu_space(10)
FEATURES = {"cortex-m0plus": (), "cortex-m3": (), "cortex-m7": ("dsp",), "cortex-m55": ("dsp", "mve")}


def exported(arch: Arch) -> bytes:
    """The int8 file of a subnet with the shipped supernet's weights: trained, so that the fast kernels hold them."""
    with shipped_supernet() as path:
        net = load_supernet(path).extract(arch)
    side = arch.resolution
    pixels = np.random.default_rng(0).integers(0, 256, (32, side, side, 3)).astype(np.uint8)
    recalibrate(net, pixels, side)
    onnx = to_onnx(fold_batch_norm(net), (1, 3, side, side), metadata={})
    x = ((pixels.transpose(0, 3, 1, 2).astype(np.float32) - 128) / 128).astype(np.float32)
    return to_tflite(read_onnx(quantize_graph(canonical(onnx), calibrate(onnx, x), (np.float32(1 / 128), 0))))


@pytest.mark.skipif(TOOLCHAIN is None or TOOLCHAIN.name != "gcc", reason="sizes are those of arm-none-eabi-gcc")
@pytest.mark.parametrize("core", FEATURES)
@pytest.mark.parametrize("seed", [2, *(pytest.param(s, marks=pytest.mark.slow) for s in range(3, 52))])
def test_constants_are_counted_to_the_byte_and_code_within_five_percent(seed: int, core: str, tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    arch = SPACE.sample_by_size(np.random.default_rng(seed))
    kernels = instruction_set(core, FEATURES[core])
    assert kernels is not None
    ops = lower(SPACE, arch)
    counted = firmware_flash(ops, plan_firmware(ops, kernels), core, kernels)
    if counted.total > FIRMWARE_CORES[core].board.flash_bytes:
        pytest.skip("larger than the emulated board's flash")
    sources = to_c(exported(arch), kernels, version="test")
    portable = {layer.kernel.function for layer in sources.layers} & {"nn_conv_c", "nn_depthwise_c"}
    assert not portable or kernels == "scalar"
    assert TOOLCHAIN is not None
    with build_proof(sources.files, FIRMWARE_CORES[core], TOOLCHAIN, tmp_path).open("rb") as file:
        sizes = {section.name: int(section["sh_size"]) for section in ELFFile(file).iter_sections()}
    assert counted.data == sizes[".rodata"]
    assert counted.code == pytest.approx(sizes[".vectors"] + sizes[".text"], rel=0.05)
