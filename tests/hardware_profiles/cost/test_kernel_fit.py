"""Where the typical costs of `KERNELS` come from: fitted again here, and with a board or a stack left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize

from hardware_profiles.cost.latency import cycles
from hardware_profiles.cost.libraries import KERNELS, KernelCycles
from hardware_profiles.cost.ops import OpSpec

Row = Mapping[str, str]
Networks = Mapping[str, tuple[OpSpec, ...]]
Floats = npt.NDArray[np.float64]

FITTED = [
    ("cortex-m0plus", "compiled"),
    ("cortex-m4", "cmsis-nn"),
    ("cortex-m4", "compiled"),
    ("cortex-m7", "compiled"),
    ("cortex-m33", "cmsis-nn"),
    ("cortex-m33", "compiled"),
    ("cortex-m85", "cmsis-nn"),
]
_STEM, _CONV, _POINTWISE, _DEPTHWISE, _DENSE, _OUTPUT, _ELEMENT = range(len(KernelCycles.__dataclass_fields__))

# Cycles from where the fit starts, and to which it is drawn where four networks do not tell costs apart.
START = {
    "cortex-m0plus": (9, 8, 10, 18, 9, 50, 40),
    "cortex-m4": (3, 2.5, 2.5, 5, 3, 15, 12),
    "cortex-m33": (3, 2.5, 2.5, 5, 2.5, 15, 12),
    "cortex-m7": (1.5, 1.1, 1.1, 2.5, 1.5, 8, 6),
    "cortex-m85": (0.9, 0.3, 0.4, 1.0, 0.9, 5, 3),
}


@pytest.fixture(scope="module")
def work(mlperf_tiny: Networks) -> dict[str, Floats]:
    """How much each network has of what each cost counts: its cycles where that cost is 1 and the others are 0."""
    return {name: sum_of(ops) for name, ops in mlperf_tiny.items()}


def sum_of(ops: Sequence[OpSpec]) -> Floats:
    total = np.zeros(7)
    for op in ops:
        h_w = np.prod(op.output.shape[:-1])
        written, macs = float(np.prod(op.output.shape)), float(h_w * op.weights)
        if op.kind == "conv":
            few = op.inputs[0].shape[-1] <= 4
            total[_STEM if few else _POINTWISE if op.kernel_hw == (1, 1) else _CONV] += macs
        elif op.weights:
            total[_DEPTHWISE if op.kind == "depthwise_conv" else _DENSE] += macs
        else:
            total[_ELEMENT] += max(written, *(float(np.prod(t.shape)) for t in op.inputs))
            continue
        total[_OUTPUT] += written
    return total


def measured(row: Row) -> float:
    return float(row["clock_mhz"]) * 1e6 / float(row["inferences_per_second"])


def fitted(rows: Sequence[Row], core: str, work: Mapping[str, Floats]) -> Floats:
    """Least squares of the logarithms; weak ties between similar kernels, and to the start's proportions."""
    start = np.log(START[core])
    needs = np.array([work[row["model"]] for row in rows])
    took = np.log([measured(row) for row in rows])

    def loss(logs: Floats) -> float:
        d = logs - start
        near = (d[_STEM] - d[_CONV]) ** 2 + (d[_POINTWISE] - d[_CONV]) ** 2 + (d[_DEPTHWISE] - d[_POINTWISE]) ** 2
        per_element = (d[_OUTPUT] - d[_CONV]) ** 2 + (d[_ELEMENT] - d[_CONV]) ** 2
        return float(((took - np.log(needs @ np.exp(logs))) ** 2).sum() + 0.1 * near + 0.3 * per_element)

    return np.exp(minimize(loss, start, options={"maxiter": 2000}).x)


def of_row(results: Sequence[Row], core: str, library: str) -> list[Row]:
    return [row for row in results if (row["core"], row["kernels"]) == (core, library)]


@pytest.mark.parametrize(("core", "library"), FITTED)
def test_the_shipped_costs_say_what_the_fitted_ones_say(
    core: str, library: str, work: Mapping[str, Floats], mlperf_tiny_results: list[Row]
) -> None:
    costs = fitted(of_row(mlperf_tiny_results, core, library), core, work)
    shipped = np.array(astuple(KERNELS[core, library].fast))
    for network in work.values():
        assert network @ shipped == pytest.approx(network @ costs, rel=0.05)  # shipped ones are rounded


def test_the_latency_model_counts_the_same_work(mlperf_tiny: Networks, work: Mapping[str, Floats]) -> None:
    shipped = np.array(astuple(KERNELS["cortex-m4", "cmsis-nn"].fast))
    for name, ops in mlperf_tiny.items():
        assert sum(cycles(op, "cortex-m4", "tflm").mid for op in ops) == pytest.approx(work[name] @ shipped)


@pytest.mark.parametrize("left_out", ["board", "stack"])
def test_nine_tenths_of_the_results_of_a_board_or_stack_left_out_lie_in_the_interval(
    left_out: str, work: Mapping[str, Floats], mlperf_tiny_results: list[Row]
) -> None:
    inside = count = 0
    for core, library in FITTED:
        rows = of_row(mlperf_tiny_results, core, library)
        names = {row[left_out].split()[0] for row in rows}  # a stack whatever its version
        low, high = KERNELS[core, library].fast_spread
        for name in sorted(names) if len(names) > 1 else ():
            costs = fitted([row for row in rows if row[left_out].split()[0] != name], core, work)
            for row in rows:
                if row[left_out].split()[0] == name:
                    count += 1
                    inside += low <= measured(row) / (work[row["model"]] @ costs) <= high
    assert count == 198
    assert inside >= 0.9 * count, (inside, count)
    print(f"{inside} of {count} results inside, each {left_out} left out once")  # noqa: T201
