"""LevelDB as a file that people handle: opening, locks, damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmchain.chain.primitives.errors import StorageError
from dmchain.chain.store.leveldb import LevelKV


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    store = LevelKV(tmp_path / "db")
    store.write([(b"key", b"value")], sync=True)
    store.close()
    again = LevelKV(tmp_path / "db", create=False)
    assert again.get(b"key") == b"value"
    again.close()


def test_a_database_that_is_open_elsewhere_is_refused_with_a_hint(tmp_path: Path) -> None:
    store = LevelKV(tmp_path / "db")
    with pytest.raises(StorageError) as caught:
        LevelKV(tmp_path / "db")
    assert str(tmp_path / "db") in str(caught.value)
    assert caught.value.hint is not None
    assert "another process" in caught.value.hint
    store.close()


def test_a_missing_database_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        LevelKV(tmp_path / "nothing", create=False)
    assert "--home" in (caught.value.hint or "")


def test_damage_is_told(tmp_path: Path) -> None:
    store = LevelKV(tmp_path / "db")
    store.write([(bytes([n]), bytes(1000)) for n in range(100)], sync=True)
    store.close()
    for manifest in (tmp_path / "db").glob("MANIFEST-*"):
        manifest.write_bytes(b"\x13" * 200)
    with pytest.raises(StorageError) as caught:
        LevelKV(tmp_path / "db", create=False)
    assert "damaged" in (caught.value.hint or "")


def test_a_file_where_the_directory_should_be_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("not a directory")
    with pytest.raises(StorageError):
        LevelKV(tmp_path / "db")


def test_sizes_and_statistics_are_given_and_compaction_keeps_everything(tmp_path: Path) -> None:
    store = LevelKV(tmp_path / "db")
    store.write([(b"a%04d" % n, bytes([n % 256]) * 1000) for n in range(1000)], sync=False)
    store.compact()
    assert store.approximate_size(b"a", b"b") > 1000
    assert "Compactions" in store.statistics()
    assert store.get(b"a0999") == bytes([999 % 256]) * 1000
    store.close()
