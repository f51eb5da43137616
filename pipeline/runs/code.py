"""The code that a function reaches, as a hash that comments, docstrings and layout don't change.

Reached is a module that another one imports, wherever the import stands but for `if TYPE_CHECKING`. Only our own
packages count: the versions of others are recorded in `run.json`, not hashed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

PACKAGES = ("pipeline", "flatnas", "export", "hardware_profiles")
ROOT = Path(__file__).parents[2]
# files that modules read beside code: what they hold is part of what the module does
DATA: Mapping[str, tuple[str, ...]] = {
    "export.write.to_c": ("export/runtime/*.[chS]",),
    "export.write.package": ("export/runtime/package/*",),
    "export.runtime.build": ("export/runtime/host/*", "export/runtime/proof/*"),
    "pipeline.report.page": ("pipeline/report/page.html.jinja",),
    "pipeline.report.card": ("pipeline/report/model_card.md.jinja",),
    "flatnas.corruptions.frost_pictures": ("flatnas/corruptions/frost/*",),
}


def code_sha256(module: str, root: Path = ROOT) -> str:
    """Hash of the syntax trees of all modules that a module reaches, itself included, and of the files they read.

    Args:
        module: its dotted name; one of another package than ours reaches nothing.
        root: the directory that the packages lie in.
    """
    digest = hashlib.sha256()
    for name in sorted(reached(module, root)):
        path = _path(name, root)
        assert path is not None
        digest.update(f"{name} {_facts(path, path.stat().st_mtime_ns).tree} ".encode())
        for file in sorted(file for pattern in DATA.get(name, ()) for file in root.glob(pattern)):
            if file.is_file():
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def reached(module: str, root: Path = ROOT) -> frozenset[str]:
    """The names of all modules of ours that a module reaches, itself included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path(name, root)
        if name in found or path is None:
            continue
        found.add(name)
        for imported in run_time_imports(path):
            parts = imported.split(".")
            waiting += [".".join(parts[:n]) for n in range(1, len(parts) + 1)]  # a package's __init__ runs, too
    return frozenset(found)


def run_time_imports(path: Path) -> tuple[str, ...]:
    """Dotted names that a file may import when it runs: of `from a import b` the name a.b, module or not."""
    return _facts(path, path.stat().st_mtime_ns).imports


class _Facts:
    """What is remembered of a file: the hash of its tree, and what it may import."""

    def __init__(self, tree: ast.Module) -> None:
        self.imports = tuple(_imports(tree))
        for node in ast.walk(tree):
            _strip_docstring(node)
        self.tree = hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _facts(path: Path, modified_ns: int) -> _Facts:
    return _Facts(ast.parse(path.read_bytes()))


def _path(module: str, root: Path) -> Path | None:
    """The file of a module of ours; None of others' modules, and of names that are none."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return None
    base = root.joinpath(*parts)
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _imports(node: ast.AST) -> Iterator[str]:
    """Dotted names that may be modules: `from a import b` may import a or a.b."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for other in node.orelse:
            yield from _imports(other)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def _strip_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body[0] = ast.Pass()
