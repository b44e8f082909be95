from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_itr.errors import DataError
from user_itr.search.sentences import read_sentences


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_line_ends_separate_sentences(tmp_path: Path, end: str) -> None:
    file = tmp_path / "sentences.txt"
    lines = [
        "a dog\u2028runs",
        "",
        "line\x0cfeed  here",
        "a\x85b\x0bc",
        "d\x1ce\u2029f",
        " \u2028 ",
    ]
    file.write_bytes(end.join(lines).encode())
    assert read_sentences(file) == ["a dog runs", "line feed here", "a b c", "d e f"]


def test_a_file_of_blanks_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_text("\u2028\n\x0c\n", "utf-8")
    with pytest.raises(DataError, match="holds no sentences"):
        read_sentences(file)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1)))
def test_as_many_sentences_as_lines_with_words(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    wanted = [" ".join(line.split()) for line in lines if line.strip()]
    file = tmp_path_factory.getbasetemp() / "lines.txt"
    file.write_text("a first line\n" + "\n".join(lines), "utf-8")
    assert read_sentences(file) == ["a first line", *wanted]
