"""The table of operators holds together."""

from __future__ import annotations

import importlib
import pkgutil

import export.ops
from export.ops.operator import Operator
from export.ops.table import FUNCTIONS, LAYERS, ONNX, OPERATORS
from hardware_profiles.firmware.kernels import KERNELS


def test_every_operator_of_every_file_is_listed_by_its_name() -> None:
    modules = [importlib.import_module(f"export.ops.{m.name}") for m in pkgutil.iter_modules(export.ops.__path__)]
    told = {
        id(value): value.name for module in modules for value in vars(module).values() if isinstance(value, Operator)
    }
    assert sorted(told.values()) == sorted(OPERATORS)
    assert all(name == operator.name for name, operator in OPERATORS.items())


def test_no_onnx_operator_layer_or_function_is_told_twice() -> None:
    for merged, parts in ((ONNX, "onnx"), (LAYERS, "layers"), (FUNCTIONS, "functions")):
        assert len(merged) == sum(len(getattr(operator, parts)) for operator in OPERATORS.values())


def test_what_the_firmware_does_has_integers_a_kernel_and_a_peer() -> None:
    for operator in OPERATORS.values():
        if operator.in_firmware:
            assert operator.prepare is not None
            assert operator.int8_version is not None
            assert operator.tflm is not None
        if operator.lower is not None:
            assert KERNELS[operator.kind][-1].needs == "scalar"  # there is one for every core
