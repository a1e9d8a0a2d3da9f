"""The lock on a home directory, and files that are replaced as a whole."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dmchain.chain.primitives.errors import StorageError
from dmchain.node.home import open_home, write_atomically

HOLDER = """
import sys
from pathlib import Path
from dmchain.node.home import open_home
with open_home(Path(sys.argv[1]), create=True):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_has_the_home(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StorageError, match=f"in use by the process {holder.pid}") as caught, open_home(tmp_path):
            pass
        assert caught.value.hint
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with open_home(tmp_path) as home:  # the lock died with its process, though its file is still there
            assert home.lock.read_text() == f"{os.getpid()}\n"


def test_the_lock_ends_with_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with open_home(tmp_path):
            pass


def test_a_home_that_is_not_there_is_made_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "home"
    with pytest.raises(StorageError, match="No such file") as caught, open_home(path):
        pass
    assert "init" in str(caught.value.hint)
    with open_home(path, create=True):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_file_is_replaced_as_a_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
