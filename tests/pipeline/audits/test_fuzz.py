"""Thousands of mutated models: each gives answers or one line, nothing hangs, and a crash stays in the worker."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.graph import ExportError
from pipeline import AuditRequest, Subject, audit
from pipeline.errors import PipelineError

KINDS = (
    ("int8_tflite", "litert"),
    ("int8_tflite", "tflm"),
    ("float_onnx", "onnxruntime"),
    ("int8_onnx", "onnxruntime"),
)

# What a worker does with a model, for one mutated file after another; prints a line per file before it is touched.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from pipeline.audits.subject import Subject
from pipeline.audits.worker import classify, limit_memory
from test_fuzz import mutated
limit_memory()
whole, folder, runner = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
for number in range(int(sys.argv[4]), int(sys.argv[5])):
    print(number, flush=True)
    path = folder / f"m{whole.suffix}"
    path.write_bytes(mutated(whole.read_bytes(), number))
    try:
        classify(Subject(path, runner).load(), pictures, lambda n: None)
    except Exception as error:
        print("refused", flush=True)
    else:
        print("answered", flush=True)
"""


def mutated(whole: bytes, number: int) -> bytes:
    """A copy that is cut off, or has some bytes changed, mostly near its ends: tables are there, weights in between."""
    rng = np.random.default_rng(number)
    damaged = bytearray(whole[: rng.integers(1, len(whole))] if number % 4 == 0 else whole)
    end = min(2000, len(damaged))
    start = 0 if number % 2 else len(damaged) - end
    for place in rng.integers(start, start + end, rng.integers(1, 8)):
        damaged[place] = rng.integers(256)
    return bytes(damaged)


def outcomes(model: Path, folder: Path, runner: str, count: int) -> Counter[str]:
    """How often such a file was refused, answered, or crashed the process, which is then started again."""
    found: Counter[str] = Counter()
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{PROGRAM}"
    first = 0
    while first < count:
        command = [sys.executable, "-c", program, str(model), str(folder), runner, str(first), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 + count)  # no hang
        said = done.stdout.splitlines()  # onnxruntime's own lines are among them
        found.update(line for line in said if line in ("refused", "answered"))
        first = int(next(line for line in reversed(said) if line.isdigit())) + 1
        if done.returncode < 0:
            found["crashed"] += 1
        else:
            assert done.returncode == 0, done.stderr
    return found


def check(digit_models: Any, tmp_path: Path, kind: str, runner: str, count: int) -> None:
    model: Path = getattr(digit_models, kind)
    found = outcomes(model, tmp_path, runner, count)
    assert found.total() == count
    assert min(found["refused"], found["answered"]) > count // 20, found
    assert found["crashed"] <= count // 20, found  # each is one line to the user, but our readers should see it first
    assert [path.name for path in tmp_path.iterdir()] == [f"m{model.suffix}"]


@pytest.mark.parametrize(("kind", "runner"), KINDS)
def test_mutated_models_are_answered_or_refused(digit_models: Any, tmp_path: Path, kind: str, runner: str) -> None:
    check(digit_models, tmp_path, kind, runner, 60)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "runner"), KINDS)
def test_thousands_of_mutated_models(digit_models: Any, tmp_path: Path, kind: str, runner: str) -> None:
    check(digit_models, tmp_path, kind, runner, 1500)


@pytest.mark.parametrize("kind", ["int8_tflite", "float_onnx", "int8_onnx"])
def test_what_the_command_itself_reads_of_mutated_models_is_read_or_refused(
    digit_models: Any, tmp_path: Path, kind: str
) -> None:
    from export.read_tflite import read_tflite
    from export.run.activations import quantized_tensors

    model: Path = getattr(digit_models, kind)
    reader = read_tflite if model.suffix == ".tflite" else quantized_tensors
    for number in range(1000):
        path = tmp_path / f"m{model.suffix}"
        path.write_bytes(mutated(model.read_bytes(), number))
        with suppress(ExportError):
            reader(Subject(path).content())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8_tflite", "float_onnx"])
def test_whole_audits_of_mutated_models_end_with_answers_or_one_line(
    digit_models: Any, tmp_path: Path, kind: str
) -> None:
    model: Path = getattr(digit_models, kind)
    refusals = []
    for number in range(100):
        path = tmp_path / f"m{model.suffix}"
        path.write_bytes(mutated(model.read_bytes(), number))
        try:
            audit(
                path,
                request=AuditRequest(
                    dataset="digits", limit=10, corruptions=("contrast",), device_images=5, cache_limit="0B"
                ),
            )
        except PipelineError as error:
            refusals.append(str(error))
    assert len(refusals) > 25
    assert all("\n" not in text for text in refusals)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
