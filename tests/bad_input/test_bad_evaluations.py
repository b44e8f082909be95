"""Bad score files, ground truths and annotations of `evaluate`, and documents of `compare`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inputs import DEEP, DIGITS, npy, npy_header, pickled_npy, put
from outcomes import OK, Case, check, refused, run, table

from user_itr.errors import DataError
from user_itr.evaluation.protocols.cxc import read_cxc
from user_itr.evaluation.protocols.plausible import read_object_labels

SCORES = np.array([[0.9, 0.1, 0.2], [0.3, 0.8, 0.7]], np.float32)
OWNERS = np.array([0, 1, 1])
Content = Callable[[Path], bytes] | bytes
WORDS = ("evaluate", "{}/s.npy", "--caption-image", "{}/owners.npy", "--resamples", "0")


def scored(
    name: str,
    says: str,
    scores: Content = npy(SCORES),
    owners: Content = npy(OWNERS),
    *more: str,
    code: int = 2,
) -> Case:
    def make(root: Path) -> None:
        for file, content in (("s.npy", scores), ("owners.npy", owners)):
            put(root, file, content if isinstance(content, bytes) else content(root / "marker"))

    return Case(f"scores: {name}", make, (*WORDS, *more), says, code)


def with_value(value: float) -> bytes:
    scores = SCORES.copy()
    scores[1, 2] = value
    return npy(scores)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"

SCORED = [
    scored("in order", "rsum", code=OK),
    scored("columns first", "rsum", npy(np.asfortranarray(SCORES)), code=OK),
    scored("float64", "rsum", npy(SCORES.astype(np.float64)), code=OK),
    scored("empty", "cannot be read as a NumPy array", b""),
    scored("cut short", "cannot be read as a NumPy array", npy(SCORES)[:-3]),
    scored("Python objects", "cannot be read as a NumPy array", pickled_npy),
    scored("a deep header", "cannot be read as a NumPy array", npy_header("(" * 9_000)),
    scored("a huge shape", "cannot be read as a NumPy array", npy_header(HEADER % "(99999999999, 9)")),
    scored("one number", "holds no single array", npy(np.float32(1))),
    scored("whole numbers", "is int64 of shape (2, 3)", npy(SCORES.astype(np.int64))),
    scored("complex numbers", "is complex64 of shape", npy(SCORES.astype(np.complex64))),
    scored("text", "of shape (2, 3)", npy(SCORES.astype("U4"))),
    scored("three axes", "of shape (1, 2, 3)", npy(SCORES[None]), npy(OWNERS * 0)),
    scored("no rows", "points outside the 0 images", npy(SCORES[:0])),
    scored("NaN", "row 1, column 2: holds nan", with_value(np.nan)),
    scored("infinity", "row 1, column 2: holds -inf", with_value(-np.inf)),
    scored("10^38", "row 1, column 2: holds", with_value(1e38)),
    scored("captions that do not fit", "owners.npy: names the image of 2 captions, and", owners=npy(OWNERS[:2])),
    scored("a negative owner", "owners.npy: row 1 points outside the images", owners=npy(np.array([0, -1, 1]))),
    scored("an owner beyond", "owners.npy: row 2, 2, points outside the 2 images", owners=npy(np.array([0, 1, 2]))),
    scored("a huge owner", "owners.npy: row 2 points outside the images", owners=npy(np.array([0, 1, 2**62]))),
    scored("owners with fractions", "owners.npy", owners=npy(np.array([0, 0.5, 1]))),
    scored("owners of two axes", "owners.npy", owners=npy(OWNERS[None])),
    scored("owners of text", "owners.npy", owners=npy(np.array(["a", "b", "c"]))),
    scored("owners of Python", "owners.npy", owners=pickled_npy),
    scored("no owners", "owners.npy: names the image of no caption", owners=npy(OWNERS[:0])),
    scored("k of zero", "--k '0'", npy(SCORES), npy(OWNERS), "--k", "0"),
    scored("k of words", "--k 'one'", npy(SCORES), npy(OWNERS), "--k", "one"),
    scored("k of nothing", "--k ''", npy(SCORES), npy(OWNERS), "--k", ""),
    scored("k of 5,000 digits", "--k '9999", npy(SCORES), npy(OWNERS), "--k", DIGITS),
    scored("k of 10^30", "rsum", npy(SCORES), npy(OWNERS), "--k", "1" + "0" * 30, code=OK),
    scored("an unknown tie rule", "'lucky'", npy(SCORES), npy(OWNERS), "--ties", "lucky"),
    scored("an unknown fusion", "--fusion 'sum'", npy(SCORES), npy(OWNERS), "--fusion", "sum"),
    scored("no folds", "folds", npy(SCORES), npy(OWNERS), "--folds", "0"),
    scored("negative folds", "folds", npy(SCORES), npy(OWNERS), "--folds", "-2"),
    scored("many folds", "folds", npy(SCORES), npy(OWNERS), "--folds", "1000000000"),
    scored("negative resamples", "resamples is -1", npy(SCORES), npy(OWNERS), "--resamples", "-1"),
    scored("10^12 resamples", "--resamples", npy(SCORES), npy(OWNERS), "--resamples", "1000000000000"),
    scored("CxC without ids", "have no MSCOCO ids", npy(SCORES), npy(OWNERS), "--cxc", "{}"),
    scored("PMRP without ids", "have no MSCOCO ids", npy(SCORES), npy(OWNERS), "--pmrp", "{}/s.npy"),
    scored("a report that is a folder", "cannot be written", npy(SCORES), npy(OWNERS), "--report", "{}"),
    scored("a document below a file", "cannot be written", npy(SCORES), npy(OWNERS), "--json", "{}/s.npy/x"),
]  # fmt: skip


def folder_of_embeddings(root: Path) -> None:
    put(root, "e/images.npy", npy(np.zeros((2, 4), np.float32)))
    put(root, "e/captions.npy", npy(np.full((3, 4), np.nan, np.float32)))
    put(root, "owners.npy", npy(OWNERS))


FOLDER = ("evaluate", "{}/e", "--caption-image", "{}/owners.npy")
PLACES = [
    Case("embeddings with NaN", folder_of_embeddings, FOLDER, "captions, row 0"),
    Case("nothing there", lambda root: None, FOLDER, "no such folder"),
    Case("a file of text", lambda root: put(root, "e", "x"), FOLDER, "is no checkpoint"),
    Case("no truth", lambda root: put(root, "s.npy", npy(SCORES)), ("evaluate", "{}/s.npy"), "give --data SET"),
]  # fmt: skip


@table([*SCORED, *PLACES])
def test_outcome(
    case: Case,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(case, tmp_path, capfd, monkeypatch)
    assert not (tmp_path / "marker").exists()


Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """What `evaluate --json` writes."""
    home = tmp_path_factory.mktemp("document")
    put(home, "s.npy", npy(SCORES))
    put(home, "owners.npy", npy(OWNERS))
    from user_itr.cli import main

    words = [word.replace("{}", str(home)) for word in (*WORDS, "--json", "{}/a.json")]
    with pytest.raises(SystemExit):
        main(words)
    return dict(json.loads((home / "a.json").read_text()))


def at(*path: str, value: object) -> Callable[[Document], object]:
    def change(document: Document) -> None:
        for part in path[:-1]:
            document = document[part]
        document[path[-1]] = value

    return change


DOCUMENTS: list[tuple[str, Callable[[Document], object] | bytes | str, str]] = [
    ("empty", "", "is no evaluation"),
    ("cut short", '{"format": 2, ', "is no evaluation"),
    ("deep", "[" * DEEP, "is no evaluation"),
    ("a long number", f'{{"format": {DIGITS}}}', "is no evaluation"),
    ("UTF-16", '{"format": 2}'.encode("utf-16"), "is no evaluation"),
    ("a list", "[]", "field format is None"),
    ("the future", at("format", value=3), "this release reads 2"),
    ("a format of text", at("format", value="2"), "field format is '2'"),
    ("no queries", at("queries", value={}), "field queries"),
    ("a number of text", at("queries", "i2t", "ahead", value=["0", "0"]), "field queries.i2t.ahead"),
    ("a fraction", at("queries", "i2t", "ahead", value=[0.5, 0]), "field queries.i2t.ahead"),
    ("lists of two lengths", at("queries", "i2t", "ahead", value=[0]), "of different lengths"),
    ("a row beyond", at("queries", "i2t", "queries", value=[0, 9]), "a row is outside"),
    ("a negative row", at("queries", "t2i", "positive", value=[0, -1, 1]), "a row is outside"),
    ("a huge row", at("queries", "i2t", "queries", value=[0, 10**30]), "is no evaluation"),
    ("a negative count", at("queries", "i2t", "ahead", value=[0, -3]), "field queries.i2t"),
    ("more ahead than there are", at("queries", "i2t", "ahead", value=[0, 99]), "field queries.i2t"),
    ("no candidates", at("queries", "i2t", "candidates", value=-1), "field queries.i2t"),
    ("an image twice", at("items", "images", value=["a", "a"]), "image ids repeat"),
    ("a caption of no image", at("items", "caption_image", value=[0, 1, 7]), "points outside"),
    ("a cut-off of text", at("metrics", "i2t", value={"R@x": 1.0}), "field metrics"),
    ("a cut-off of zero", at("metrics", "i2t", value={"R@0": 1.0}), "r@0 has no cut-off"),
    ("a cut-off of 5,000 digits", at("metrics", "i2t", value={f"R@{DIGITS}": 1.0}), "field metrics"),
    ("an unknown tie rule", at("metrics", "ties", value="lucky"), "field metrics.ties"),
    ("other items", at("split_key", value="0" * 64), "are different items"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "says"), [c[1:] for c in DOCUMENTS], ids=[c[0] for c in DOCUMENTS]
)
def test_documents(
    document: Document,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[Document], object] | bytes | str,
    says: str,
) -> None:
    text = json.dumps(document)
    put(tmp_path, "a.json", text)
    if callable(spoil):
        changed = json.loads(text)
        spoil(changed)
        spoil = json.dumps(changed)
    put(tmp_path, "b.json", spoil)
    said = run(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")], capfd)
    assert (said.code, said.out) == (2, ""), said
    assert said.err.startswith("user-itr: ")
    assert says in said.err
    assert said.err.count("\n") == 1


HEADERS = {"sits": "caption,image", "sis": "image1,image2", "sts": "caption1,caption2"}
NAMES = {"caption": "COCO_val2014:sentid:7", "image": "COCO_val2014_000000000003.jpg"}


def pair(task: str, score: str = "4.0", **names: str) -> str:
    sides = HEADERS[task].split(",")
    return ",".join([*({**NAMES, **names}[side.rstrip("12")] for side in sides), score])


CXC: list[tuple[str, bytes | str, str]] = [
    ("empty", "", "no column 'caption'"),
    ("a header alone", "caption,image,agg_score\n", "rates no pair"),
    ("UTF-16", "caption,image,agg_score\n".encode("utf-16"), "UTF-16"),
    ("columns of another file", "a,b,c\n", "no column 'caption'"),
    ("a column less", f"caption,image,agg_score\n{NAMES['caption']}\n", "1 columns under a header"),
    ("a rating of text", f"caption,image,agg_score\n{pair('sits', 'high')}\n", "is no rating"),
    ("a rating of NaN", f"caption,image,agg_score\n{pair('sits', 'nan')}\n", "is no rating"),
    ("a rating of 9", f"caption,image,agg_score\n{pair('sits', '9')}\n", "is no rating"),
    ("a rating below 0", f"caption,image,agg_score\n{pair('sits', '-1')}\n", "is no rating"),
    ("an image of text", f"caption,image,agg_score\n{pair('sits', image='x.jpg')}\n", "is no MSCOCO image"),
    ("an image of 5,000 digits", f"caption,image,agg_score\n{pair('sits', image=f'COCO_{DIGITS}.jpg')}\n", "is no MSCOCO image"),
    ("an Arabic number", f"caption,image,agg_score\n{pair('sits', image='COCO_٣.jpg')}\n", "is no MSCOCO image"),
    ("a caption of text", f"caption,image,agg_score\n{pair('sits', caption='x')}\n", "is no caption"),
    ("a field of 200,000 letters", f"caption,image,agg_score\n{pair('sits', caption='x' * 200_000)}\n", "the file is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "says"), [c[1:] for c in CXC], ids=[c[0] for c in CXC])
def test_annotations_of_cxc(tmp_path: Path, content: bytes | str, says: str) -> None:
    for task, header in HEADERS.items():
        put(tmp_path, f"{task}_test.csv", f"{header},agg_score\n{pair(task)}\n")
    assert read_cxc(tmp_path, "test", (3,), (7,), np.array([0])).i2t is not None
    put(tmp_path, "sits_test.csv", content)
    refused(DataError, says, lambda: read_cxc(tmp_path, "test", (3,), (7,), np.array([0])))


LABELS: list[tuple[str, str, str]] = [
    ("empty", "", "not JSON"),
    ("deep", "[" * DEEP, "not a caption file"),
    ("a list", "[]", "no list `annotations`"),
    ("numbers", '{"annotations": [5]}', "annotations[0]"),
    ("an id of text", '{"annotations": [{"image_id": "3", "category_id": 1}]}', "annotations[0]"),
    ("a huge category", f'{{"annotations": [{{"image_id": 3, "category_id": {10**30}}}]}}', "annotations[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "says"), [c[1:] for c in LABELS], ids=[c[0] for c in LABELS])
def test_annotations_of_objects(tmp_path: Path, content: str, says: str) -> None:
    file = put(tmp_path, "instances.json", content)
    refused(DataError, says, lambda: read_object_labels(file, (3,)))
