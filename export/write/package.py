"""What a firmware directory holds: sources, build files, an example."""

from __future__ import annotations

from importlib.resources import files

from export.write.to_c import Sources
from hardware_profiles.cores import FirmwareCore


def package_files(sources: Sources, core: FirmwareCore, compiler_flags: tuple[str, ...] = ()) -> dict[str, str]:
    """Path to text of every file for users of the model.

    Args:
        compiler_flags: that choose the chip's core and its floating-point ABI, which a library must share with the
            application it is linked to; the core's own when empty.
    """
    templates = files("export") / "runtime" / "package"
    flags = " ".join(compiler_flags or (*core.gcc, "-mthumb"))
    package = {f"src/{name}": text for name, text in sources.files.items()}
    for path in _TEMPLATES:
        text = (templates / path.rpartition("/")[2]).read_text()
        package[path] = text.replace("@CPU_FLAGS@", flags)
    return package


def possible_files() -> tuple[str, ...]:
    """Every path that `package_files` may give, whatever the model."""
    runtime = files("export") / "runtime"
    kernels = (f.name for f in runtime.iterdir() if f.name.endswith((".c", ".h", ".S")))
    return tuple(sorted({f"src/{name}" for name in (*kernels, "model.c", "model.h")} | set(_TEMPLATES)))


_TEMPLATES = ("Makefile", "CMakeLists.txt", "example/main.c")
