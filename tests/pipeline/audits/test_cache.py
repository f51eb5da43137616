from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.audits.cache import Cache


def test_what_was_saved_is_loaded_and_nothing_else(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", 10_000)
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert cache.load("a") is None
    cache.save("a", array)
    loaded = cache.load("a")
    assert loaded is not None
    np.testing.assert_array_equal(loaded, array)
    assert cache.load("b") is None


def test_the_least_recently_used_go_when_the_cap_is_reached(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 3500)
    block = np.zeros(1000, np.uint8)  # 1,160 bytes as an entry
    for second, key in enumerate("abc"):
        cache.save(key, block)
        os.utime(tmp_path / f"{key}.npy", (second, second))
    assert cache.load("a") is not None  # used just now
    cache.save("d", block)
    assert [key for key in "abcd" if cache.load(key) is not None] == ["a", "c", "d"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3500


def test_what_killed_processes_were_writing_goes_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / ".a.npy.0a1b2c3d", tmp_path / ".b.npy.0a1b2c3d"
    for path, age in ((old, 90_000), (new, 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    Cache(tmp_path, 10_000).save("c", np.zeros(4))
    assert [old.exists(), new.exists()] == [False, True]


def test_what_exceeds_the_cap_is_not_kept(tmp_path: Path) -> None:
    Cache(tmp_path, 100).save("a", np.zeros(1000, np.uint8))
    Cache(tmp_path, 0).save("b", np.zeros(1, np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:50], lambda b: b"", lambda b: b[:200] + b"x" + b[201:]]
)
def test_a_damaged_entry_is_noticed_and_deleted(tmp_path: Path, damage: object) -> None:
    cache = Cache(tmp_path, 10_000)
    cache.save("a", np.zeros(1000, np.uint8))
    path = tmp_path / "a.npy"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert cache.load("a") is None
    assert not path.exists()


def test_a_full_disk_is_a_warning_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The system refuses to make the file longer, as it does on a full disk."""
    program = """
import logging, resource, signal, sys
import numpy as np
from pathlib import Path
from pipeline.audits.cache import Cache
logging.basicConfig(level=logging.WARNING)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
cache = Cache(Path(sys.argv[1]), 10**6)
cache.save("a", np.zeros(5000, np.uint8))
print(cache.load("a"))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "can't be kept" in done.stderr
    assert done.stdout.strip() == "None"
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "c", 10_000)
    cache.save("a", np.zeros(10, np.uint8))
    cache.save("b", np.zeros(10, np.uint8))
    assert caplog.text.count("can't be kept") == 1
    assert cache.load("a") is None
