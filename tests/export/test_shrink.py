"""Files made smaller, and both compared on every runtime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from dead_nets import dead_net
from hand_made import HandMade

from export.graph import ExportError
from export.read_tflite import read_tflite
from export.run.tflite_runtimes import tflm_installed
from export.shrink import RUNTIMES, compare_files, proof_inputs, shrink
from export.to_ops import to_ops
from export.write.to_tflite import to_tflite
from hardware_profiles.cost.ops import macs


def test_a_smaller_file_is_the_same_on_every_runtime() -> None:
    content = to_tflite(dead_net(np.random.default_rng([0, 9])))
    shrunk = shrink(content)
    assert shrunk.removed
    assert len(shrunk.content) < len(content)
    rows = compare_files(content, shrunk.content, proof_inputs(shrunk.before, 40, seed=0))
    assert [row.runtime for row in rows] == list(RUNTIMES)
    for row in rows:
        if row.runtime != "tflm" or tflm_installed():
            assert (row.inputs, row.mismatches, row.max_abs_lsb, row.skipped) == (40, 0, 0, None)


def hidden(bias: int) -> bytes:
    net = HandMade()
    x = net.activation((1, 3))
    middle = net.layer("FULLY_CONNECTED", x, net.activation((1, 2)), [[1, 1, 1], [1, 0, 1]], [bias, 0], 1 / 8)
    y = net.layer("FULLY_CONNECTED", middle, net.activation((1, 2)), [[1, 0], [0, 1]], [0, 0], 1 / 2)
    return to_tflite(net.graph(x, y))


def test_files_that_differ_are_told_by_how_much() -> None:
    # 8 of a sum more are one step behind the first layer, and half a step behind the second: at most 1
    rows = compare_files(hidden(0), hidden(8), proof_inputs(read_tflite(hidden(0)), 100, seed=0))
    interpreter = rows[RUNTIMES.index("interpreter")]
    assert interpreter.max_abs_lsb == 1
    assert 0 < interpreter.mismatches < 100


def test_a_file_with_nothing_dead_is_given_back_as_it_is() -> None:
    content = hidden(0)
    assert shrink(content).content == content


def test_inputs_begin_with_the_ends_of_int8() -> None:
    inputs = proof_inputs(read_tflite(hidden(0)), 6, seed=1)
    assert inputs[:4].tolist() == [[-128] * 3, [127] * 3, [127, -128, 127], [-128, 127, -128]]
    assert len(proof_inputs(read_tflite(hidden(0)), 2, seed=1)) == 2


def test_a_float_model_is_refused(tmp_path: Path) -> None:
    from export.graph import Graph, Node, Tensor

    ends = {name: Tensor(name, (1, 4), "float32") for name in ("x", "y")}
    content = to_tflite(Graph((Node("RELU", "relu", ("x",), ("y",)),), ends, ("x",), ("y",)))
    with pytest.raises(ExportError, match=r"it takes '0 x' \(float32\); only models of one int8 input can be shrunk"):
        shrink(content)


def test_mlperf_tinys_person_detector_loses_half_of_its_macs() -> None:
    shared = os.environ.get("PIPELINE_SHARED")
    if shared is None:
        pytest.skip("PIPELINE_SHARED names no directory of MLPerf Tiny models")
    content = (Path(shared) / "data" / "mlperf-tiny" / "vww.int8.tflite").read_bytes()
    shrunk = shrink(content)
    ops = to_ops(shrunk.after)
    assert sum(macs(op) for op in ops) <= 3_800_000
    assert sum(op.weights for op in ops) <= 30_000
    assert all(
        row.mismatches == 0 for row in compare_files(content, shrunk.content, proof_inputs(shrunk.before, 20, 0))
    )
