"""Bad words on the command line of every command: no traceback, exit code 2, nothing made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from inputs import DIGITS, npy, png, put
from numpy import zeros
from outcomes import Case, check, table

LATIN = os.fsdecode(b"caf\xe9")
"""An argument that is no UTF-8, as a shell may give one."""


def words(*words: str, says: str, name: str = "") -> Case:
    return Case(name or ascii(" ".join(words))[:70], lambda root: None, words, says)


def with_files(*words: str, says: str) -> Case:
    def make(root: Path) -> None:
        put(root, "file", "x")
        put(root, "photos/a.png", png())
        (root / "folder").mkdir()
        put(root, "s.npy", npy(zeros((1, 1), "float32")))

    return Case(f"files: {' '.join(words)}"[:70], make, words, says)


ARGUMENTS = [
    words("nonsense", says="No such command"),
    words("--nonsense", says="No such option"),
    words("data", "check", says="Missing argument"),
    words("data", "check", "{}/no", says="no such folder"),
    words("data", "check", "", says="no captioned image set"),
    words("data", "check", "{}/" + "x" * 300, says="File name too long"),
    words("data", "check", "{}/" + LATIN, says="no such folder"),
    words("data", "openmoji", "{}/out", "--limit", "0", says="--limit"),
    words("data", "openmoji", "{}/out", "--limit", "-5", says="--limit"),
    words("features", "extract", says="Missing argument"),
    words("features", "extract", "{}/no", "{}/out", says="no such folder"),
    words("features", "extract", "{}", "{}/out", "--batch-size", "0", says="--batch-size"),
    words("features", "extract", "{}", "{}/out", "--batch-size", DIGITS, says="--batch-size", name="features 5,000 digits"),
    words("features", "extract", "{}", "{}/out", "--workers", "-1", says="--workers"),
    words("features", "extract", "{}", "{}/out", "--workers", "1000000", says="--workers"),
    with_files("features", "extract", "{}/photos", "{}/out", "--backbone", "resnet", says="is unknown"),
    with_files("features", "extract", "{}/photos", "{}/out", "--backbone", "", says="is unknown"),
    with_files("features", "extract", "{}/photos", "{}/out", "--guide", "nonsense", says="nonsense"),
    with_files("features", "extract", "{}/folder", "{}/out", says="no image"),
    with_files("features", "extract", "{}/photos", "{}/file", says="is no folder"),
    with_files("features", "extract", "{}/photos", "{}/file/deeper", says="is no folder"),
    words("features", "info", "{}/no", says="no feature store"),
    words("train", says="give --preset NAME or --config FILE"),
    words("train", "--preset", "x", says="neither a preset"),
    words("train", "--preset", "../../etc/passwd", says="neither a preset"),
    words("train", "--preset", "flickr8k", "--config", "x", says="exclude each other"),
    words("train", "--resume", "{}/no", says="is no run"),
    words("train", "--resume", "{}/no", "--set", "training.epochs=3", says="takes its settings from the run"),
    with_files("train", "--preset", "flickr8k", "--out", "{}/photos", says="is not empty"),
    with_files("train", "--preset", "flickr8k", "--out", "{}/file", says="is not empty"),
    with_files("train", "--resume", "{}/file", says="is no run"),
    words("evaluate", says="Missing argument"),
    words("evaluate", "{}/no", says="no such folder"),
    words("evaluate", "shipped:no", says="no such model ships"),
    words("evaluate", "shipped:../../../etc", says="no such model ships"),
    with_files("evaluate", "{}/s.npy", "--data", "{}/no", says="no such folder"),
    with_files("evaluate", "{}/s.npy", "--caption-image", "{}/file", says="cannot be read as a NumPy array"),
    with_files("evaluate", "{}/s.npy", "--caption-image", "{}/folder", says="cannot be read as a NumPy array"),
    words("compare", "{}/a.json", says="Missing argument"),
    words("compare", "{}/a.json", "{}/b.json", says="cannot be read"),
    words("compare", "{}", "{}", says="cannot be read"),
    words("compare", "{}/a.json", "{}/b.json", "--moved", "-1", says="give 0 or more"),
    words("ablate", "no-grid", says="neither a shipped grid"),
    words("index", says="which photos?"),
    words("index", "{}/no", "--index", "{}/index", says="no such folder"),
    words("index", "{}", "--index", "{}/index", "--batch-size", "0", says="--batch-size"),
    words("index", "{}", "--index", "{}/index", "--batch-size", "1" + "0" * 30, says="--batch-size"),
    words("index", "{}", "--index", "{}/index", "--workers", "0", says="--workers"),
    words("index", "{}", "--index", "{}/index", "--workers", "9999", says="--workers"),
    words("index", "{}", "--index", "{}/index", "--model", "{}/no", says="no such folder"),
    with_files("index", "{}/file", "--index", "{}/index", says="is no image by its ending"),
    words("search", says="nothing to search for"),
    words("search", "", "--index", "{}/no", says="no such search index"),
    words("search", "red", "--index", "{}/no", says="no such search index"),
    words("search", "red", "--top", "0", says="--top"),
    words("search", "red", "--top", "-3", says="--top"),
    words("search", "red", "--top", DIGITS, says="--top", name="search 5,000 digits"),
    words("search", "red", "--page", "0", says="--page"),
    words("search", "red", "--page", "1" + "0" * 20, says="--page"),
    words("search", "red", "--after", "yesterday", says="--after"),
    words("search", "red", "--after", "2021-02-30", says="--after"),
    words("search", "red", "--after", "2021-02-02", "--before", "2021-02-01", says="swap the two"),
    words("search", "red", "--min-width", "-1", says="--min-width"),
    words("search", "red", "--min-bytes", "1" + "0" * 30, says="min_bytes is 1"),
    words("search", "red", "--min-bytes", "9", "--max-bytes", "3", says="swap the two"),
    words("search", "red", "--folder", "~no-such-user/x", says="is no path"),
    words("search", "red", "--folder", LATIN, says="is no valid UTF-8"),
    words("search", "--image", "{}/no.png", says="no such image file"),
    words("search", "--image", "{}", says="no such image file"),
    with_files("search", "red", "--index", "{}/file", says="is not a search index"),
    with_files("search", "red", "--index", "{}/folder", says="is not a search index"),
    words("serve", "--index", "{}/no", says="no such search index"),
    words("serve", "--index", "{}/no", "--port", "-1", says="--port"),
    words("serve", "--index", "{}/no", "--port", "65536", says="--port"),
    words("serve", "--index", "{}/no", "--host", "0.0.0.0", says="lets other machines in"),
    words("serve", "--index", "{}/no", "--host", "", says="lets other machines in"),
    words("serve", "--index", "{}/no", "--token", "short", says="at least 8 letters and digits"),
    words("serve", "--index", "{}/no", "--token", "", says="at least 8 letters and digits"),
    words("serve", "--index", "{}/no", "--token", "secret\r\nSet-Cookie: x", says="at least 8 letters"),
    words("serve", "--index", "{}/no", "--token", "ééééééééé", says="at least 8 letters"),
    words("serve", "--index", "{}/no", "--log", "everything", says="--log 'everything'"),
    words("sentences", says="Missing argument"),
    words("sentences", "{}/no.txt", says="cannot be read"),
    words("sentences", "{}", says="cannot be read"),
    with_files("sentences", "{}/photos/a.png", says="is not UTF-8 text"),
    with_files("sentences", "{}/file", "--index", "{}/no", says="no such search index"),
    words("describe", "{}/no.png", "--index", "{}/no", says="no such search index"),
    words("describe", "{}/no.png", "--top", "0", says="--top"),
    words("export", "{}/no", "{}/out", says="no such folder"),
    words("export", "{}/no", "{}", says="is there already"),
    words("convert", "{}/no.pth", "{}/out", says="no such file"),
    words("convert", "{}", "{}/out", says="no such file"),
    with_files("convert", "{}/file", "{}/folder", says="is there already"),
    with_files("convert", "{}/file", "{}/out", says="is damaged, or no checkpoint"),
    words("demo", "--minutes", "0", says="--minutes"),
    words("demo", "--minutes", "-1", says="--minutes"),
    words("demo", "--drawings", "3", says="--drawings"),
]  # fmt: skip


@table(ARGUMENTS)
def test_outcome(
    case: Case,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("USER_ITR_TOKEN", raising=False)
    check(case, tmp_path, capfd, monkeypatch)


SENTENCES = [
    ("CRLF and a byte order mark", b"\xef\xbb\xbfa dog\r\n\r\na cat\r\n", "no such search index"),
    ("blank lines", b"\n \n", "holds no sentences"),
    ("UTF-16", "a dog\n".encode("utf-16"), "is not UTF-8 text"),
    ("50,000 letters", b"x" * 50_000, "has 50,000 characters"),
]


@pytest.mark.parametrize(
    ("content", "says"), [c[1:] for c in SENTENCES], ids=[c[0] for c in SENTENCES]
)
def test_sentences(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    says: str,
) -> None:
    command = ("sentences", "{}/s.txt", "--index", "{}/no")
    case = Case("sentences", lambda root: put(root, "s.txt", content), command, says)
    check(case, tmp_path, capfd, monkeypatch)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(root: Path) -> None:
        put(root, "photos/a.png", png())
        (root / "closed").mkdir(mode=0o500)

    command = ("index", "{}/photos", "--index", "{}/closed/index")
    check(
        Case("closed", make, command, "the index cannot be written"), tmp_path, capfd, monkeypatch
    )
