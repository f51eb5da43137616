"""The house's import directions, and what may not be imported before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runs.code import run_time_imports

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


def imported_modules(path: Path) -> set[str]:
    """Names of our modules that a file may import when it runs."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    known = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in every_module()}
    named = set(run_time_imports(path))
    found = {n if n in known else n.rpartition(".")[0] for n in named}
    return (found & known) - {name}


def every_module() -> list[Path]:
    return [path for package in PACKAGES for path in modules(package)]


def circle(edges: dict[str, set[str]]) -> list[str]:
    """A circle of a directed graph, or nothing."""
    done: set[str] = set()

    def visit(node: str, above: list[str]) -> list[str]:
        if node in above:
            return above[above.index(node) :]
        if node in done:
            return []
        done.add(node)
        for other in sorted(edges.get(node, ())):
            if found := visit(other, [*above, node]):
                return found
        return []

    return next((found for node in sorted(edges) if (found := visit(node, []))), [])


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    edges = {".".join(p.relative_to(ROOT).with_suffix("").parts): imported_modules(p) for p in every_module()}
    assert circle({name.removesuffix(".__init__"): others for name, others in edges.items()}) == []


@pytest.mark.parametrize("package", ["hardware_profiles", "flatnas", "export", "pipeline"])
def test_no_rooms_of_a_package_import_each_other_in_a_circle(package: str) -> None:
    def room(module: str) -> str:
        """The folder of a module; a module that lies in no folder stands for itself."""
        parts = module.split(".")
        return ".".join(parts[:2]) if (ROOT / parts[0] / parts[1]).is_dir() else module

    edges: dict[str, set[str]] = {}
    for path in modules(package):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name != package:
            mine = {room(other) for other in imported_modules(path) if other.startswith(f"{package}.")}
            edges.setdefault(room(name), set()).update(mine - {room(name)})
    assert circle(edges) == []


def test_stages_never_import_stages() -> None:
    for path in (ROOT / "pipeline" / "stages").glob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith("pipeline.stages")], path


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("matplotlib", "pipeline/report"),
        ("onnx", "export"),
        ("tensorflow", "export/run/tensorflow_program.py"),
        ("onnx2tf", "export/run/tensorflow_program.py"),
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
        "export.run.runners",
        "export.read_onnx",
        "export.run.parity",
        "pipeline.audits",
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
