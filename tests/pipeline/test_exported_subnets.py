"""Random subnets of every search space as TFLite: each runs in TFLite Micro and computes what the interpreter says."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from export.ops.interpreter import Interpreter
from export.read_tflite import read_tflite
from export.run.tflite_runtimes import load_tracer, tflm_head_bytes
from export.to_ops import to_ops
from flatnas.space.arch import Arch, SearchSpace
from flatnas.space.spaces import mcu_space, mobile_space
from hardware_profiles.cost.memory import plan_memory

# squeeze-excite is a gene of the MCU spaces, and belongs to some stages of the mobile ones
SPACES = {
    "mcu": mcu_space(10),
    "mcu-hard_swish": mcu_space(10, activation="hard_swish"),
    "mobile-w1.0": mobile_space(10, 64),
    "mobile-w1.2": mobile_space(10, 64, 1.2),
}
INPUTS = 20


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("count", [1, pytest.param(100, marks=pytest.mark.slow)])
def test_a_subnet_computes_what_tflite_micro_computes_in_no_more_memory(name: str, count: int) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tflite_micro")
    rng = np.random.default_rng(11)
    for _ in range(count):
        arch = SPACES[name].sample(rng)
        content = exported(SPACES[name], arch, rng)
        graph = read_tflite(content)
        assert not {"QUANTIZE", "DEQUANTIZE", "TRANSPOSE"} & {node.op for node in graph.nodes}, str(arch)
        assert {tensor.dtype for tensor in graph.tensors.values()} == {"int8", "int32"}, str(arch)
        assert plan_memory(to_ops(graph)).peak_bytes <= tflm_head_bytes(content), str(arch)
        x = rng.integers(-128, 128, (INPUTS, arch.resolution, arch.resolution, 3)).astype(np.int8)
        (expected,) = load_tracer(content, "tflm")(x)
        assert np.ptp(expected, axis=0).any(), f"{arch} answers every input alike"
        np.testing.assert_array_equal(Interpreter(graph).run(x), expected, err_msg=str(arch))


def exported(space: SearchSpace, arch: Arch, rng: np.random.Generator) -> bytes:
    """A subnet with random weights, and with the batch-norm statistics of random pictures."""
    import torch

    from export.calibrate import calibrate
    from export.quantize import quantize
    from export.read_onnx import read_onnx
    from export.write.fold import fold_batch_norm
    from export.write.to_onnx import to_onnx
    from export.write.to_tflite import to_tflite
    from flatnas.nets.supernet import Subnet

    torch.manual_seed(int(rng.integers(2**31)))
    shape = (3, arch.resolution, arch.resolution)
    images = rng.uniform(-1, 1, (16, *shape)).astype(np.float32)
    net = Subnet(space, arch).train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean over batches
    with torch.no_grad():
        net(torch.tensor(images))
    float_onnx = to_onnx(fold_batch_norm(net.eval()), (1, *shape))
    return to_tflite(read_onnx(quantize(float_onnx, calibrate(float_onnx, images), input_scale=1 / 128)))


_EXPORT = """
import resource, sys
import numpy as np, torch
from export.calibrate import calibrate
from export.write.fold import fold_batch_norm
from export.quantize import quantize
from export.read_onnx import read_onnx
from export.run.tflite_runtimes import load_tracer
from export.write.to_onnx import to_onnx
from export.write.to_tflite import to_tflite
from flatnas.space.spaces import mcu_space
from flatnas.nets.supernet import Subnet

torch.set_num_threads(1)
space = mcu_space(10, activation="hard_swish")
images = np.random.default_rng(0).uniform(-1, 1, (512, 3, 32, 32)).astype(np.float32)
float_onnx = to_onnx(fold_batch_norm(Subnet(space, space.largest).eval()), (1, 3, 32, 32))
content = to_tflite(read_onnx(quantize(float_onnx, calibrate(float_onnx, images), input_scale=1 / 128)))
load_tracer(content, "litert")(np.zeros((1, 32, 32, 3), np.int8))
used = resource.getrusage(resource.RUSAGE_SELF)
(peak_kb,) = (line.split()[1] for line in open("/proc/self/status") if "VmHWM" in line)  # ru_maxrss has the parent's
print(int(peak_kb) * 1024, used.ru_utime + used.ru_stime, "tensorflow" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak in /proc")
def test_the_largest_subnet_is_exported_within_ten_seconds_and_one_gigabyte() -> None:
    pytest.importorskip("torch")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", _EXPORT], env=environment, capture_output=True, text=True, check=True)
    peak_bytes, seconds, tensorflow = done.stdout.split()
    assert int(peak_bytes) <= 1e9  # measured: 0.91e9, of which torch's import takes 0.56e9
    assert float(seconds) <= 10  # of CPU; measured: 2.9
    assert tensorflow == "False"
