from __future__ import annotations

import hashlib
import os

import pytest

from user_itr.errors import CheckpointError
from user_itr.runtime.dual_encoders import hashes
from user_itr.runtime.dual_encoders.hashes import combined_hash, file_hash

OLD = 1_600_000_000


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "weights"
    made.write_bytes(b"one")
    os.utime(made, (OLD, OLD))
    return made


def no_reading(paths):
    raise AssertionError("a file was read again")


def test_a_file_is_read_once(file, monkeypatch):
    assert file_hash(file) == sha(b"one")
    monkeypatch.setattr(hashes, "hash_files", no_reading)
    assert file_hash(file) == sha(b"one")
    monkeypatch.chdir(file.parent)
    assert file_hash(file.relative_to(file.parent)) == sha(b"one")


@pytest.mark.parametrize("change", ["size", "time", "inode"])
def test_a_changed_file_is_read_again(file, change):
    file_hash(file)
    if change == "inode":
        other = file.with_name("other")
        other.write_bytes(b"two")
        other.replace(file)
    else:
        file.write_bytes(b"two!" if change == "size" else b"two")
    moment = OLD + (change == "time")
    os.utime(file, (moment, moment))
    assert file_hash(file) == sha(file.read_bytes())


def test_what_was_written_just_now_is_not_remembered(file):
    file.write_bytes(b"new")
    assert file_hash(file) == sha(b"new")
    assert not list(hashes.cache_folder().rglob("*.json"))


@pytest.mark.parametrize("note", [b"", b"[1]", b"{}", b'[[3, 0, 0], "ab"]', b"\xff", b"7"])
def test_a_damaged_note_is_passed_over(file, note):
    file_hash(file)
    [kept] = hashes.cache_folder().rglob("*.json")
    kept.write_bytes(note)
    assert file_hash(file) == sha(b"one")


def test_a_cache_that_cannot_be_written_is_done_without(file):
    hashes.cache_folder().parent.mkdir(parents=True, exist_ok=True)
    hashes.cache_folder().write_bytes(b"a file in its place")
    assert file_hash(file) == sha(b"one")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="gone: cannot be read"):
        file_hash(tmp_path / "gone")


def test_the_order_of_files_counts(file, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"two")
    assert combined_hash([file, other]) != combined_hash([other, file])
