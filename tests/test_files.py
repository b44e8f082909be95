from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from user_itr.files import map_array, read_sealed, replace_sealed

WRITER = """
import sys
from pathlib import Path
from user_itr.files import replace_sealed
for _ in range(60):
    replace_sealed(Path(sys.argv[1]), sys.argv[2].encode() * 300_000)
"""


def test_sealed_content_comes_back_or_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "sealed"
    assert read_sealed(file) is None
    for content in (b"", b"some bytes"):
        replace_sealed(file, content)
        assert read_sealed(file) == content
    whole = file.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole + b"x", whole[:-1] + b"S"):
        file.write_bytes(damaged)
        assert read_sealed(file) is None


def test_processes_that_write_at_once_never_show_a_part(tmp_path: Path) -> None:
    file = tmp_path / "sealed"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(file), letter]) for letter in "ab"
    ]
    seen = []
    while any(writer.poll() is None for writer in writers):
        if file.exists():
            seen.append(read_sealed(file))
    assert [writer.returncode for writer in writers] == [0, 0]
    seen.append(read_sealed(file))
    assert set(seen) <= {b"a" * 300_000, b"b" * 300_000}
    assert [path.name for path in tmp_path.iterdir()] == ["sealed"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        replace_sealed(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how a file is mapped")
@pytest.mark.parametrize("scattered", [False, True])
def test_what_is_read_here_and_there_is_not_read_ahead(tmp_path: Path, scattered: bool) -> None:
    file = tmp_path / "array.npy"
    wanted = np.arange(4_000.0).reshape(1_000, 4)
    np.save(file, wanted)
    array = map_array(file, scattered=scattered)
    maps = Path("/proc/self/smaps").read_text().split(str(file))
    flags = maps[1].partition("VmFlags:")[2].splitlines()[0].split()
    assert len(maps) == 2
    assert ("rr" in flags) == scattered  # "random read advice"
    np.testing.assert_array_equal(array[[7, 900, 8]], wanted[[7, 900, 8]])
