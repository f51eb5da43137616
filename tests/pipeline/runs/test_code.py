"""The key of a stage sees the code that it reaches, and nothing that is no code."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from pipeline.audits.subject import WORKER
from pipeline.flow import STAGES
from pipeline.runs.code import DATA, PACKAGES, ROOT, code_sha256, reached
from pipeline.searching import MEASURES


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages, to be changed."""
    root = tmp_path_factory.mktemp("packages")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    return root


def changed_stages(root: Path, file: str, before: str, after: str) -> set[str]:
    """Names of the stages whose code hash differs after a replacement, which is taken back."""
    path = root / file
    content = path.read_text()
    assert content.count(before) == 1
    hashes = {stage.name: code_sha256(stage.run.__module__, root) for stage in STAGES}
    path.write_text(content.replace(before, after))
    changed = {stage.name for stage in STAGES if code_sha256(stage.run.__module__, root) != hashes[stage.name]}
    path.write_text(content)
    return changed


def test_a_copy_has_the_hash_of_the_original(copy: Path) -> None:
    for stage in STAGES:
        assert code_sha256(stage.run.__module__, copy) == code_sha256(stage.run.__module__)


def test_a_constant_of_a_cost_model_redoes_what_counts_costs_and_nothing_else(copy: Path) -> None:
    file = "hardware_profiles/cost/cycles_per_instruction.py"
    constant = next(line for line in (copy / file).read_text().splitlines() if '"cortex-m7":' in line)
    # those that count costs, and those that read the costs of measured subnets
    counting = {"search", "finalists", "select", "report"}
    assert changed_stages(copy, file, constant, constant.replace("(", "(1 + ", 1)) == counting


def test_what_a_kernel_costs_redoes_no_quantization(copy: Path) -> None:
    changed = changed_stages(copy, "hardware_profiles/firmware/conv.py", '"nn_conv_dsp": 3072', '"nn_conv_dsp": 3073')
    assert {"search", "report", "firmware"} <= changed
    assert not changed & {"teacher", "supernet", "finetune", "to_onnx", "quantize", "to_tflite"}


def test_a_constant_of_training_redoes_the_trainings_and_what_measures_with_its_code(copy: Path) -> None:
    trained = {"teacher", "supernet", "search", "finalists", "select", "finetune", "quantize"}
    change = "momentum=0.9, nesterov=True", "momentum=0.8, nesterov=True"
    assert changed_stages(copy, "flatnas/training/state.py", *change) - {"report", "to_onnx"} == trained


def test_a_kernel_in_c_redoes_the_firmware_and_what_runs_it(copy: Path) -> None:
    file = "export/runtime/conv_dsp.c"
    line = next(line for line in (copy / file).read_text().splitlines() if line.startswith("void "))
    changed = changed_stages(copy, file, line, f"{line} ")
    assert "firmware" in changed
    assert not changed & {"teacher", "supernet", "search", "finetune", "to_onnx", "quantize", "to_tflite"}


def test_c_that_only_this_computer_runs_redoes_the_audit(copy: Path) -> None:
    file = "export/runtime/host/batch.c"
    line = next(line for line in (copy / file).read_text().splitlines() if line.startswith("void "))
    assert "audit" in changed_stages(copy, file, line, f"{line} ")


def test_what_was_measured_or_answered_is_known_by_the_code_behind_it(copy: Path) -> None:
    """The stores of measurements, predictions and pictures outlive a run: their keys hash what computes them."""
    rounding, fold = "pipeline.rounding", "export.write.fold"
    assert {rounding, fold} <= set(MEASURES)
    assert {rounding, fold}.isdisjoint(reached(MEASURES[0]))
    assert {"export.run.host_firmware", "export.ops.interpreter", "flatnas.data.resize"} <= reached(WORKER)
    before = code_sha256("flatnas.corruptions", copy)
    path = copy / "flatnas/corruptions/weather.py"
    content = path.read_text()
    path.write_text(content.replace("BRIGHTNESS_ADDED = BySeverity((0.05", "BRIGHTNESS_ADDED = BySeverity((0.06"))
    assert code_sha256("flatnas.corruptions", copy) != before
    path.write_text(content)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from __future__ import annotations\n", "from __future__ import annotations  # why not\n\n\n"),
        ('"""Stochastic', '"""Stoch'),
    ],
)
def test_comments_docstrings_and_layout_redo_nothing(copy: Path, before: str, after: str) -> None:
    file = "hardware_profiles/cost/cycles_per_instruction.py"
    content = (copy / file).read_text()
    if before not in content:
        before, after = content.split("\n")[0], '"""Said otherwise.'
        if content.split("\n")[0].count('"""') == 2:
            after += '"""'
    assert changed_stages(copy, file, before, after) == set()


def test_a_stage_does_not_reach_other_stages_or_what_reads_data_sets() -> None:
    for stage in STAGES:
        modules = reached(stage.run.__module__)
        assert {m for m in modules if m.startswith("pipeline.stages.")} == {stage.run.__module__}
        assert "pipeline.flow" not in modules
    assert "flatnas.data.image_folder" not in reached("pipeline.stages.finetune")
    assert "hardware_profiles.footprint" not in reached("pipeline.stages.finetune")
    assert "hardware_profiles.cost.ops" in reached("pipeline.stages.finetune")


def test_every_file_that_code_reads_is_hashed_with_it_or_its_content_is_a_setting() -> None:
    elsewhere = {
        "pipeline.shipped",  # supernet and labels: by their hashes
        "pipeline.models",  # released models: no stage reads them
        "hardware_profiles.profile_file",  # profiles: by their values
        "pipeline.layers",  # presets: by their values
        "research.tflm_peer.peer",  # no stage
        "pipeline.report.audit_page",
        "pipeline.report.data_page",
    }
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            reads = any(isinstance(call.func, ast.Name) and call.func.id == "files" for call in calls)
            assert not reads or name in DATA or name in elsewhere, f"{name} reads files that no key sees"
    hashed = {file for patterns in DATA.values() for pattern in patterns for file in ROOT.glob(pattern)}
    for pattern in (pattern for patterns in DATA.values() for pattern in patterns):
        assert list(ROOT.glob(pattern)), pattern
    runtime = {file for file in (ROOT / "export" / "runtime").rglob("*") if file.is_file() and file.suffix != ".py"}
    peers = {file for file in runtime if file.is_relative_to(ROOT / "export" / "runtime" / "peer")}  # no stage
    assert {file for file in runtime - peers - hashed if "__pycache__" not in file.parts} == set()
