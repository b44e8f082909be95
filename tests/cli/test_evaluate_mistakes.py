"""What is wrong with files and options is said before the work; tables and files come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from score_files import OWNER, Bench, cosines, plain_rsum, unit, vectors
from shell import Command


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture
def bench(command: Command, tmp_path: Path) -> Bench:
    return Bench(command, tmp_path)


@pytest.mark.parametrize(
    ("make", "words", "sentence"),
    [
        ("short", (), "owner.npy: names the image of 199 captions, and"),
        ("beyond", (), "owner.npy: row 0, 40, points outside the 40 images"),
        ("text", (), "owner.npy: caption_image is <U1"),
        ("swapped", (), "captions.npy 40, as if images and captions had changed places"),
        ("alone", (), "holds images and no captions; put captions.npy beside them"),
        (
            "fine",
            ("--score", "euclid"),
            "score is 'euclid'; use one of auto, cosine, dot, distance",
        ),
        ("fine", ("--score", "distance"), "distances and --transposed go with matrices"),
        ("fine", ("--transposed",), "distances and --transposed go with matrices"),
        ("fine", ("--captions-per-image", "0"), "captions per image is 0; give 1 or more"),
        ("fine", ("--images", "{}"), "--images and --format say how a set is read; give it with"),
        ("fine", ("--features", "{}"), "--features goes with a checkpoint, not with files"),
        ("fine", ("--text-dtype", "bfloat16"), "--text-dtype goes with a checkpoint, not"),
        ("fine", ("--text-dtype", "int8"), "--text-dtype 'int8': use float32 or bfloat16"),
        ("fine", ("--data", "{}"), "--caption-image and --data exclude each other"),
        ("fine", ("--table", "html"), "--table 'html': use latex or markdown"),
        ("fine", ("--json", "{}"), "cannot be written, it is a folder"),
        ("fine", ("--json", "{}/a", "--report", "{}/a"), "is given for --json and for --report"),
        ("fine", ("--trec", "{}/owner.npy"), "cannot be written, it is a file; name a folder"),
        ("fine", ("--lists", "{}/owner.npy/x/y"), "owner.npy is no folder; name another"),
        ("fine", ("--trec", "{}/t", "--ties", "expected"), "have no order of ties to expect"),
        ("fine", ("--image-ids", "{}/none.txt"), "none.txt: cannot be read"),
        ("matrix", ("--score", "cosine"), "a matrix has no cosine"),
    ],
)
def test_what_is_wrong_is_said_before_the_work(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    make: str,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    images, captions, _ = vectors()
    path = bench.embeddings(unit(images), unit(captions))
    if make == "swapped":
        bench.embeddings(unit(captions), unit(images))
    if make == "alone":
        (path / "captions.npy").unlink()
    if make == "matrix":
        path = bench.matrix(cosines(images, captions))
    owners = {"short": OWNER[:-1], "beyond": 40 - OWNER, "text": OWNER.astype("U1")}
    np.save(bench.folder / "owner.npy", owners.get(make, OWNER))

    def rank(*_: object) -> None:
        raise AssertionError("ranked")

    monkeypatch.setattr("user_itr.evaluation.evaluating.cross_modal_ranks_by", rank)
    filled = [word.replace("{}", str(bench.folder)) for word in words]
    before = sorted(bench.folder.rglob("*"))
    assert sentence in bench.refused(path, *filled)
    assert sorted(bench.folder.rglob("*")) == before


def test_compare_says_before_the_work_that_it_cannot_write(bench: Bench) -> None:
    images, captions, _ = vectors()
    bench(bench.embeddings(unit(images), unit(captions)))
    out = bench.folder / "out.json"
    sentence = bench.command.mistake("compare", out, out, "--json", bench.folder)
    assert "cannot be written, it is a folder" in sentence


def test_tables_and_files_of_the_command(bench: Bench) -> None:
    images, captions, _ = vectors(2.5)
    path = bench.embeddings(unit(images), unit(captions))
    owner = np.array(OWNER)
    rsum = plain_rsum(cosines(images, captions), owner)
    words = ("evaluate", path, *bench.owner, "--resamples", "0")
    for form, start in (("markdown", "**vectors, test**"), ("latex", "% vectors, test; 200 cap")):
        done = bench.command(*words, "--table", form, "--folds", "4", "--precision")
        assert done.code == 0, done.err
        assert done.out.startswith(start)
        assert f"{rsum:.1f}" in done.out
        assert f"{rsum / 6:.1f}" in done.out
        assert "mean of 4 folds" in done.out
        assert "nDCG@10" in done.out
    outputs = {"--lists": "l.jsonl", "--queries": "q.csv", "--trec": "trec", "--report": "p.html"}
    given = [part for option, name in outputs.items() for part in (option, bench.folder / name)]
    done = bench.command(*words, *given, "--depth", "3")
    assert done.code == 0, done.err
    assert all((bench.folder / name).exists() for name in outputs.values())
    assert len((bench.folder / "trec" / "t2i.run").read_text().splitlines()) == 3 * 200
    assert len((bench.folder / "l.jsonl").read_text().splitlines()) == 240
    assert len((bench.folder / "q.csv").read_text().splitlines()) == 241
