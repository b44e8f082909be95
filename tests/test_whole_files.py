from __future__ import annotations

import os
from pathlib import Path

import pytest

from user_itr.files import replace_file, sync_files


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is brought to the disk and what is renamed, in order."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def syncing(handle: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        fsync(handle)

    def renaming(source: Path, target: Path) -> Path:
        done.append(f"rename to {Path(target).name}")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", renaming)
    return done


linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")


@linux
def test_content_is_on_the_disk_before_it_has_the_name(tmp_path: Path, calls: list[str]) -> None:
    replace_file(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    partial = f".a.json.{os.getpid()}.partial"
    assert calls == [f"sync {partial}", "rename to a.json", f"sync {tmp_path.name}"]


@linux
def test_all_files_of_a_folder_are_brought_to_the_disk(tmp_path: Path, calls: list[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    sync_files(tmp_path)
    assert sorted(calls[:2]) == ["sync a", "sync b"]
    assert calls[2:] == [f"sync {tmp_path.name}"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_or_ctrl_c_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def failing(handle: int) -> None:
        raise error

    replace_file(tmp_path / "a.json", b"old")
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(type(error)):
        replace_file(tmp_path / "a.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"old"
