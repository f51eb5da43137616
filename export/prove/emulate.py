"""Run a proof's ELF file on an emulated core: QEMU's system emulator, or Unicorn.

The program talks by semihosting (Arm's "Semihosting for AArch32 and AArch64"): it reads and writes files and ends with
an exit code. Both emulators count time in instructions, QEMU by `-icount shift=0`, Unicorn by a SysTick of our own.
"""

from __future__ import annotations

import importlib
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from export.graph import ExportError
from hardware_profiles.cores import FirmwareCore

_FAULT = 99  # startup.c's exit code of a hardware fault
_SYSTICK, _SYSTEM_SPACE = 0xE000E010, 0xE0000000
_OPEN, _WRITE, _READ, _EXIT = 0x01, 0x05, 0x06, 0x20  # semihosting operations


@dataclass(frozen=True, slots=True)
class Emulator:
    """An emulator: its name and version, and how it runs an ELF file in a directory within so many seconds."""

    name: str
    run: Callable[[Path, float], None]


def find_emulator(core: FirmwareCore) -> Emulator | None:
    """QEMU where it is installed, else Unicorn where it knows the core's instructions, else None."""
    qemu = shutil.which("qemu-system-arm")
    if qemu:
        said = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False).stdout.split()
        version = said[3] if len(said) > 3 else "?"
        return Emulator(f"QEMU {version} {core.board.machine}", lambda elf, seconds: _qemu(qemu, elf, core, seconds))
    if core.unicorn and find_spec("unicorn"):
        unicorn = importlib.import_module("unicorn")
        return Emulator(f"Unicorn {unicorn.__version__}", lambda elf, seconds: _unicorn(elf, core, seconds))
    return None


def how_to_get_one(core: FirmwareCore) -> str:
    """What to install for a core that no emulator was found for."""
    unicorn = "pip install 'flatnas-deploy[firmware]', or " if core.unicorn else ""
    return f"{unicorn}install QEMU (apt: qemu-system-arm)"


def _qemu(qemu: str, elf: Path, core: FirmwareCore, seconds: float) -> None:
    command = [qemu, "-M", core.board.machine, "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel", elf.name]
    try:
        done = subprocess.run(command, cwd=elf.parent, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"QEMU did not finish within {seconds:.0f} s") from error
    _check(done.returncode, f"QEMU: {done.stderr.strip()[:500]}")


def _check(code: int, said: str) -> None:
    if code == _FAULT:
        raise ExportError(f"the firmware ran into a hardware fault; {said}")
    if code:
        raise ExportError(f"the emulated firmware ended with code {code}; {said}")


def _unicorn(elf: Path, core: FirmwareCore, seconds: float) -> None:
    """Map the board's memories, load the file, and serve semihosting calls and a SysTick that counts instructions."""
    import unicorn as uc
    from elftools.elf.elffile import ELFFile
    from unicorn import arm_const

    assert core.unicorn is not None
    machine = uc.Uc(uc.UC_ARCH_ARM, uc.UC_MODE_THUMB | uc.UC_MODE_MCLASS)
    machine.ctl_set_cpu_model(getattr(arm_const, core.unicorn))
    board = core.board
    machine.mem_map(board.flash_origin, board.flash_bytes)
    machine.mem_map(board.ram_origin, board.ram_bytes)
    with elf.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            if segment["p_filesz"]:
                machine.mem_write(segment["p_paddr"], segment.data())
    systick = _SysTick(machine, uc)
    machine.mmio_map(_SYSTEM_SPACE, 0x100000, systick.read, None, systick.write, None)
    host = _Semihost(machine, arm_const, elf.parent)
    machine.hook_add(uc.UC_HOOK_INTR, host.call)
    stack, start = struct.unpack("<II", machine.mem_read(board.flash_origin, 8))
    machine.reg_write(arm_const.UC_ARM_REG_SP, stack)
    try:
        machine.emu_start(start | 1, 0xFFFFFFFF, timeout=int(seconds * 1e6))
    except uc.UcError as error:
        pc = machine.reg_read(arm_const.UC_ARM_REG_PC)
        raise ExportError(f"the firmware ran into a fault at 0x{pc:08x} on Unicorn: {error}") from error
    finally:
        host.close()
    if host.exit_code is None:
        raise ExportError(f"Unicorn did not finish within {seconds:.0f} s")
    _check(host.exit_code, "Unicorn")


class _SysTick:
    """Arm's 24-bit down counter, at one tick per 40 instructions as on QEMU's boards; counts only while it is on."""

    _PER_TICK = 40

    def __init__(self, machine: Any, uc: Any) -> None:
        self._machine, self._uc = machine, uc
        self._instructions = 0
        self._lengths: dict[tuple[int, int], int] = {}
        self._hook: Any = None

    def read(self, machine: Any, offset: int, size: int, data: Any) -> int:
        if _SYSTEM_SPACE + offset == _SYSTICK + 8:
            return -(self._instructions // self._PER_TICK) & 0xFFFFFF
        return 0

    def write(self, machine: Any, offset: int, size: int, value: int, data: Any) -> None:
        if _SYSTEM_SPACE + offset != _SYSTICK:
            return
        if value & 1 and self._hook is None:
            self._hook = self._machine.hook_add(self._uc.UC_HOOK_BLOCK, self._count)
        elif not value & 1 and self._hook is not None:
            self._machine.hook_del(self._hook)
            self._hook = None

    def _count(self, machine: Any, address: int, size: int, data: Any) -> None:
        block = (address, size)
        if block not in self._lengths:
            self._lengths[block] = _thumb_instructions(machine.mem_read(address, size))
        self._instructions += self._lengths[block]


def _thumb_instructions(code: bytes) -> int:
    """How many instructions: those whose first halfword begins with 0b11101, 0b11110 or 0b11111 have two."""
    count = position = 0
    while position < len(code):
        position += 4 if code[position + 1] >> 3 in (0b11101, 0b11110, 0b11111) else 2
        count += 1
    return count


class _Semihost:
    """The semihosting calls that the proof makes: files of one directory, and the exit code."""

    def __init__(self, machine: Any, registers: Any, directory: Path) -> None:
        self._machine, self._registers, self._directory = machine, registers, directory
        self._files: list[BinaryIO] = []
        self.exit_code: int | None = None

    def call(self, machine: Any, number: int, data: Any) -> None:
        r = self._registers
        operation, block = machine.reg_read(r.UC_ARM_REG_R0), machine.reg_read(r.UC_ARM_REG_R1)
        count = 2 if operation == _EXIT else 3
        arguments = struct.unpack(f"<{count}I", machine.mem_read(block, 4 * count))
        if operation == _OPEN:
            result = self._open(*arguments)
        elif operation == _WRITE:
            self._files[arguments[0]].write(bytes(machine.mem_read(*arguments[1:])))
            result = 0
        elif operation == _READ:
            content = self._files[arguments[0]].read(arguments[2])
            machine.mem_write(arguments[1], content)
            result = arguments[2] - len(content)
        else:
            self.exit_code = arguments[1] if operation == _EXIT else -1
            machine.emu_stop()
            return
        machine.reg_write(r.UC_ARM_REG_R0, result)
        machine.reg_write(r.UC_ARM_REG_PC, (machine.reg_read(r.UC_ARM_REG_PC) + 2) | 1)  # past BKPT

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _open(self, name: int, mode: int, length: int) -> int:
        path = self._directory / bytes(self._machine.mem_read(name, length)).decode()
        self._files.append(path.open("rb" if mode == 1 else "wb"))
        return len(self._files) - 1
