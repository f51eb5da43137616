"""The house's import directions, and what may not be imported before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("hardware_profiles", "flatnas", "export", "pipeline", "research")
MAY_IMPORT = {
    "hardware_profiles": set(),
    "flatnas": {"hardware_profiles"},
    "export": {"hardware_profiles"},
    "pipeline": {"hardware_profiles", "flatnas", "export"},
    "research": {"hardware_profiles", "flatnas", "export", "pipeline"},
}


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module)
    return names


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_in_the_direction_of_the_flow(package: str) -> None:
    forbidden = set(PACKAGES) - MAY_IMPORT[package] - {package}
    for path in modules(package):
        found = {name.split(".")[0] for name in imports_of(path)} & forbidden
        assert not found, f"{path} imports {found}"


def test_stages_never_import_stages() -> None:
    for path in (ROOT / "pipeline" / "stages").glob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith("pipeline.stages")], path


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("matplotlib", "pipeline/report"),
        ("onnx", "export"),
        ("tensorflow", "export/tensorflow_program.py"),
        ("onnx2tf", "export/tensorflow_program.py"),
        ("pickle", "nowhere"),
    ],
)
def test_a_library_is_imported_only_where_it_lives(library: str, home: str) -> None:
    for package in PACKAGES:
        for path in modules(package):
            if not path.relative_to(ROOT).as_posix().startswith(home):
                assert library not in {name.split(".")[0] for name in imports_of(path)}, path


@pytest.mark.parametrize(
    "module",
    [
        "pipeline.cli",
        "pipeline.flow",
        "flatnas.data.registry",
        "flatnas.corruptions",
        "flatnas.space.arch",
        "flatnas.search.search",
        "export.quantize",
        "export.runners",
        "export.read_onnx",
        "export.parity",
        "pipeline.audit",
    ],
)
def test_these_modules_do_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_help_does_not_import_the_heavy_libraries() -> None:
    heavy = "{'torch', 'numpy', 'onnx', 'onnxruntime', 'scipy', 'cv2', 'matplotlib', 'sklearn'}"
    code = f"import sys, pipeline.cli; sys.exit(', '.join({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.stderr.strip() == ""
