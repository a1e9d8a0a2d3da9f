"""The journal file: durable, locked, cut where a crash tore it, refused where it is damaged."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dmchain.chain.consensus.messages import SignRecord
from dmchain.chain.primitives.errors import StorageError
from dmchain.chain.primitives.types import Address
from dmchain.node import sign_journal
from dmchain.node.sign_journal import FileJournal, JournalMissing
from tests.chain.consensus.bench import Bench

ME = Address(b"m" * 20)


def records() -> list[SignRecord]:
    """Three records of one height: proposal, prevote, precommit."""
    bench = Bench(0)
    bench.built("A", 0)
    bench.prevotes("A", 0, 1, 2)
    return bench.records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_what_is_appended_is_there_after_reopening(path: Path) -> None:
    with FileJournal.create(path, ME) as journal:
        assert journal.record is None
        assert journal.sign_from == 0
        for record in records():
            journal.append(record)
    with FileJournal.open(path, ME) as journal:
        assert journal.record == records()[-1]


def test_appending_goes_on_after_reopening(path: Path) -> None:
    FileJournal.create(path, ME).close()
    for record in records():
        with FileJournal.open(path, ME) as journal:
            journal.append(record)
    with FileJournal.open(path, ME) as journal:
        assert journal.record == records()[-1]


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_append_is_cut_off_and_told(path: Path, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    first, second, _ = records()
    with FileJournal.create(path, ME) as journal:
        journal.append(first)
        journal.append(second)
    os.truncate(path, path.stat().st_size - cut)
    with FileJournal.open(path, ME) as journal:
        assert journal.record == first
        assert "the last append was interrupted" in caplog.text
        journal.append(second)
    with FileJournal.open(path, ME) as journal:
        assert journal.record == second


def test_a_damaged_record_is_refused_with_a_hint(path: Path) -> None:
    with FileJournal.create(path, ME) as journal:
        for record in records():
            journal.append(record)
    for at in (60, path.stat().st_size - 5):
        raw = bytearray(path.read_bytes())
        raw[at] ^= 1
        path.write_bytes(bytes(raw))
        with pytest.raises(StorageError, match="damaged") as caught:
            FileJournal.open(path, ME)
        assert caught.value.hint is not None and caught.value.hint.startswith("set the file aside")
        raw[at] ^= 1
        path.write_bytes(bytes(raw))


def test_a_journal_that_is_not_there_is_lost(path: Path) -> None:
    with pytest.raises(JournalMissing, match="there is none") as caught:
        FileJournal.open(path, ME)
    assert caught.value.hint is not None and "--journal-lost" in caught.value.hint


def test_an_empty_file_is_no_journal(path: Path) -> None:
    path.touch()
    with pytest.raises(StorageError, match="does not say whose it is"):
        FileJournal.open(path, ME)


def test_a_journal_is_not_made_over_another(path: Path) -> None:
    FileJournal.create(path, ME).close()
    with pytest.raises(StorageError, match="there is one already"):
        FileJournal.create(path, ME)


def test_another_keys_journal_is_refused(path: Path) -> None:
    FileJournal.create(path, ME).close()
    with pytest.raises(StorageError, match="expected that of key 0x6f"):
        FileJournal.open(path, Address(b"o" * 20))
    FileJournal.open(path, ME).close()  # and the lock was let go


def test_a_replacement_observes_until_it_is_told_otherwise(path: Path) -> None:
    with FileJournal.create(path, ME, is_replacement=True) as journal:
        assert journal.sign_from is None
    with FileJournal.open(path, ME) as journal:
        assert journal.sign_from is None
        journal.allow_from(12)
        assert journal.sign_from == 12
    with FileJournal.open(path, ME) as journal:
        assert journal.sign_from == 12


def test_a_second_opener_is_kept_off(path: Path) -> None:
    with FileJournal.create(path, ME):
        with pytest.raises(StorageError, match="another process has it open"):
            FileJournal.open(path, ME)
        code = (
            "import sys; from pathlib import Path\n"
            "from dmchain.chain.primitives.errors import StorageError\n"
            "from dmchain.node.sign_journal import FileJournal\n"
            "try: FileJournal.open(Path(sys.argv[1]), b'm' * 20)\n"
            "except StorageError as error: print(error)\n"
        )
        result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        assert "another process has it open" in result.stdout


def test_a_grown_file_is_replaced_by_its_last_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_journal, "ROTATE_BYTES", 2_000)
    made = records()
    with FileJournal.create(path, ME, is_replacement=True) as journal:
        journal.allow_from(3)
        for _ in range(30):
            for record in made:
                journal.append(record)
                assert path.stat().st_size < 4_000
    with FileJournal.open(path, ME) as journal:
        assert journal.record == made[-1]
        assert journal.sign_from == 3
    assert not path.with_name("journal.new").exists()


def test_the_lock_outlives_the_replacement_of_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_journal, "ROTATE_BYTES", 0)
    with FileJournal.create(path, ME) as journal:
        journal.append(records()[0])
        with pytest.raises(StorageError, match="another process has it open"):
            FileJournal.open(path, ME)


def test_after_a_failed_append_nothing_is_signed_any_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = records()
    journal = FileJournal.create(path, ME)
    journal.append(first)

    def full(handle: int, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        journal.append(second)
    assert caught.value.hint == "the disk is full"
    monkeypatch.undo()
    with pytest.raises(StorageError, match="an append has failed before"):
        journal.append(third)
    assert journal.record == first
    journal.close()


def test_an_append_is_synced_before_it_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(handle: int) -> None:
        real(handle)
        synced.append(path.stat().st_size)

    with FileJournal.create(path, ME) as journal:
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        for record in records():
            journal.append(record)
            assert synced[-1] == path.stat().st_size
    assert len(synced) == 3


def test_only_the_owner_may_read_it(path: Path) -> None:
    FileJournal.create(path, ME).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_bodies_are_written_once(path: Path) -> None:
    sizes = []
    with FileJournal.create(path, ME) as journal:
        for record in records():
            journal.append(record)
            sizes.append(path.read_bytes().count(b"body of A"))
    assert sizes == [1, 1, 1]
