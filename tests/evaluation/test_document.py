from __future__ import annotations

import pytest

from user_itr.errors import DataError
from user_itr.evaluation.document import write_document


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), (object(), TypeError)])
def test_the_file_before_survives_a_failed_write(tmp_path, value, error):
    path = tmp_path / "metrics.json"
    path.write_text("before")
    with pytest.raises(error):
        write_document(path, {"rate": value})
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]
    assert path.read_text() == "before"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    target = tmp_path / "file" / "metrics.json"
    with pytest.raises(DataError, match=r"metrics\.json: cannot be written \(.+\); name a file in"):
        write_document(target, {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder: cannot be written"):
        write_document(tmp_path / "folder", {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
