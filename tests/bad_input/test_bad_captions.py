"""Bad files of every reader of captioned sets, through `user-itr data check`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from inputs import DEEP, DIGITS, images, npy, npy_header, pickled_npy, png, put
from outcomes import OK, Case, check, table

CHECK = ("data", "check", "{}/set")
Make = Callable[[Path], object]


def captions(content: bytes | str, name: str = "captions.csv", *names: str) -> Make:
    def make(root: Path) -> None:
        images(root / "set", *names)
        put(root / "set", name, content)

    return make


def csv(name: str, content: bytes | str, says: str, code: int = 2, *names: str) -> Case:
    return Case(f"csv: {name}", captions(content, "captions.csv", *names), CHECK, says, code)


def jsonl(name: str, content: bytes | str, says: str, code: int = 2, *names: str) -> Case:
    return Case(f"jsonl: {name}", captions(content, "captions.jsonl", *names), CHECK, says, code)


CSV = [
    csv("byte order mark", b"\xef\xbb\xbfimage,caption\na.png,a dog\n", "no problems", OK),
    csv("CRLF", "image,caption\r\na.png,a dog\r\n", "no problems", OK),
    csv("no newline at the end", "image,caption\na.png,a dog", "no problems", OK),
    csv("emoji names", "image,caption\n🐕🏽‍🦺.png,🐕\n", "no problems", OK, "🐕🏽‍🦺.png"),
    csv("right to left", "image,caption\nכלב.png,כלב רץ\n", "no problems", OK, "כלב.png"),
    csv("quotes and line ends", 'image,caption\na.png,"a\n""dog"""\n', "no problems", OK),
    csv("50,000 characters", f"image,caption\na.png,{'a dog ' * 8_334}\n", "no problems", OK),
    csv("150,000 characters", f"image,caption\na.png,{'x' * 150_000}\n", "larger than field limit"),
    csv("empty", "", "needs one column 'image'"),
    csv("a header alone", "image,caption\n", "holds no captions"),
    csv("UTF-16", "image,caption\na.png,a dog\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
    csv("latin-1", "image,caption\na.png,café\n".encode("latin-1"), "line 2: is not valid UTF-8"),
    csv("a surrogate", b"image,caption\na.png,\xed\xa0\x80\n", "line 2: is not valid UTF-8"),
    csv(
        "a zero byte in the name",
        "image,caption\na\0.png,a dog\n",
        "'a\\x00.png'" if sys.version_info >= (3, 11) else "line 2: line contains NUL",
    ),
    csv("an open quote", 'image,caption\na.png,"a dog\n', "line 2: unexpected end of data"),
    csv("a comma too many", "image,caption\na.png,a dog, running\n", "3 fields for 2 columns"),
    csv("no caption column", "image,words\na.png,a dog\n", "needs one column 'caption'"),
    csv("a column twice", "image,caption,image\na.png,a dog,b.png\n", "needs one column 'image'"),
    csv("an empty caption", "image,caption\na.png,\nb.png,b\n", "the caption of image 'a.png' is"),
    csv("blanks as caption", "image,caption\na.png, \t \nb.png,b\n", "'a.png' is empty"),
    csv("an empty name", "image,caption\n,a dog\na.png,a\n", "the image name is empty"),
    csv("a missing image", "image,caption\nno.png,a dog\na.png,a\n", "image 'no.png' is not in"),
    csv("no image at all", "image,caption\nno.png,a dog\n", "none of the 1 images is in"),
    csv("a way out", "image,caption\n../secret.png,x\na.png,a\n", "'../secret.png' is not in"),
    csv("a hidden way out", "image,caption\nx/../../s.png,x\na.png,a\n", "'x/../../s.png' is not"),
    csv("a path from the root", "image,caption\n/etc/passwd,x\na.png,a\n", "'/etc/passwd' is not"),
    csv(
        "a folder as image", "image,caption\nc.png,x\na.png,a\n", "is not in", 2, "a.png", "c.png/x"
    ),
    csv("two splits", "image,caption,split\na.png,a,train\na.png,b,dev\n", "in split 'train'"),
    csv("half of a split", "image,caption,split\na.png,a,train\nb.png,b,\n", "the split is empty"),
    csv("a line end in a name", 'image,caption\n"a\nb.png",x\na.png,a\n', "image 'a\\nb.png' is"),
    csv(
        "a terminal's codes", "image,caption\n\x1b[2J.png,x\na.png,a\n", "'\\x1b[2J.png' is not in"
    ),
    csv("a turning name", "image,caption\n\u202egnp.a,x\na.png,a\n", "'\\u202egnp.a' is not in"),
]

JSONL = [
    jsonl("BOM", b'\xef\xbb\xbf{"image": "a.png", "caption": "a"}\n', "no problems", OK),
    jsonl("CRLF", '{"image": "a.png", "caption": ["a", "b"]}\r\n', "no problems", OK),
    jsonl("cut short", '{"image": "a.png", "caption": "a"}\n{"image": "b.p', "line 2: not JSON"),
    jsonl("deep nesting", "[" * DEEP, "line 1: not JSON"),
    jsonl("a long number", f'{{"image": {DIGITS}, "caption": "x"}}', "line 1: not JSON"),
    jsonl("a list", "[1, 2]\n", 'line 1: needs {"image"'),
    jsonl("a number as caption", '{"image": "a.png", "caption": 5}', "is int, not text"),
    jsonl("null as caption", '{"image": "a.png", "caption": [null, "b"]}', "is missing"),
    jsonl("NaN as caption", '{"image": "a.png", "caption": NaN}', "is float, not text"),
    jsonl("no caption", '{"image": "a.png"}', 'needs {"image"'),
    jsonl("a lone surrogate", '{"image": "a.png", "caption": "\\ud800"}', "is no valid Unicode"),
    jsonl("a surrogate's name", '{"image": "\\udc80", "caption": "x"}', "is no valid Unicode"),
    jsonl("a zero's name", '{"image": "a\\u0000", "caption": "x"}', "none of the 1 images"),
    jsonl("a split of 3", '{"image": "a.png", "caption": "x", "split": 3}', "split 3 is no name"),
    jsonl("UTF-16", '{"image": "a.png"}'.encode("utf-16"), "UTF-16"),
]


def flickr8k(
    name: str, tokens: bytes | str, says: str, code: int = 2, listed: str = "a.png"
) -> Case:
    def make(root: Path) -> None:
        images(root / "set")
        put(root / "set", "Flickr8k.token.txt", tokens)
        put(root / "set", "Flickr_8k.trainImages.txt", listed)

    return Case(f"flickr8k: {name}", make, CHECK, says, code)


FLICKR8K = [
    flickr8k("byte order mark", b"\xef\xbb\xbfa.png#0\ta dog\n", "no problems", OK),
    flickr8k("CRLF", "a.png#0\ta dog\r\n", "no problems", OK),
    flickr8k("50,000 characters", f"a.png#0\t{'a dog ' * 8_334}\n", "no problems", OK),
    flickr8k("a line separator", "a.png#0\ta dog\u2028runs\n", "no problems", OK),
    flickr8k("empty", "", "image 'a.png' has no captions"),
    flickr8k("a number of 5,000 digits", f"a.png#{DIGITS}\ta dog\n", "correct the line"),
    flickr8k("a negative number", "a.png#-1\ta dog\n", "correct the line"),
    flickr8k("no tab", "a.png#0 a dog\n", "correct the line"),
    flickr8k("a caption twice", "a.png#0\ta\na.png#0\tb\n", "is there already on line 1"),
    flickr8k("an empty caption", "a.png#0\t\na.png#1\ta\n", "is empty"),
    flickr8k("latin-1", b"a.png#0\tcaf\xe9\na.png#1\ta\n", "line 1: is not valid UTF-8"),
    flickr8k("UTF-16", "a.png#0\ta\n".encode("utf-16"), "UTF-16"),
    flickr8k("listed twice", "a.png#0\ta\n", "is listed twice", 2, "a.png\na.png\n"),
    flickr8k("a way out", "a.png#0\ta\n", "'../a.png' is not in", 2, "a.png\n../a.png\n"),
    flickr8k("an empty list", "a.png#0\ta\n", "0", 0, ""),
]


def karpathy(name: str, content: object, says: str, code: int = 2) -> Case:
    text = content if isinstance(content, bytes | str) else json.dumps(content)
    return Case(f"karpathy: {name}", captions(text, "dataset_x.json"), CHECK, says, code)


def image(**fields: object) -> dict[str, object]:
    sound = {"filename": "a.png", "split": "train", "sentences": [{"raw": "a dog"}]}
    return {**sound, **fields}


KARPATHY = [
    karpathy(
        "byte order mark", b"\xef\xbb\xbf" + json.dumps({"images": [image()]}).encode(), "no", 0
    ),
    karpathy("restval", {"images": [image(split="restval")]}, "no problems", OK),
    karpathy("empty", "", "line 1, column 1: not JSON"),
    karpathy("cut short", '{"images": [{"filename": "a.png", ', "not JSON"),
    karpathy("deep nesting", '{"images": ' + "[" * DEEP, "not a caption file"),
    karpathy("a long number", f'{{"images": {DIGITS}}}', "not a caption file"),
    karpathy("a list", [], "no list `images`"),
    karpathy("no list", {"images": {}}, "no list `images`"),
    karpathy("UTF-16", '{"images": []}'.encode("utf-16"), "is not valid UTF-8"),
    karpathy("nothing in it", {"images": []}, "no split of the karpathy format"),
    karpathy("numbers for images", {"images": [7, image()]}, "images[0]: has no `split`"),
    karpathy("no name", {"images": [image(filename=None)]}, "has no `filename`"),
    karpathy("sentences of text", {"images": [image(sentences="a dog")]}, "`sentences` is no list"),
    karpathy("a sentence of text", {"images": [image(sentences=["a dog"])]}, "is missing"),
    karpathy("twice", {"images": [image(), image()]}, "is listed twice, first at images[0]"),
    karpathy("a way out", {"images": [image(), image(filepath="..")]}, "'../a.png' is not in"),
    karpathy("a surrogate", {"images": [image(), image(filename="\ud800")]}, "no valid Unicode"),
    karpathy("a surrogate's set", {"images": [image()], "dataset": "\ud800\x1b[2J"}, "no", OK),
]


def coco(name: str, content: object, says: str, code: int = 2) -> Case:
    text = content if isinstance(content, bytes | str) else json.dumps(content)
    return Case(f"coco: {name}", captions(text, "captions_train2014.json"), CHECK, says, code)


def annotated(entries: object, *notes: object) -> dict[str, object]:
    return {"images": entries, "annotations": list(notes)}


A = {"id": 1, "file_name": "a.png"}
NOTE = {"id": 7, "image_id": 1, "caption": "a dog"}

COCO = [
    coco(
        "a negative id", annotated([{**A, "id": -1}], {**NOTE, "image_id": -1}), "no problems", OK
    ),
    coco("empty", "", "not JSON"),
    coco("images of text", annotated("a.png", NOTE), "no lists `images` and `annotations`"),
    coco("an id twice", annotated([A, {**A, "file_name": "b.png"}], NOTE), "id 1 is there already"),
    coco("a fraction as id", annotated([A, {**A, "id": 1.5}], NOTE), "do not name an image"),
    coco("no file name", annotated([A, {"id": 2}], NOTE), "do not name an image"),
    coco("a way out", annotated([A, {"id": 2, "file_name": "../s"}], NOTE), "'../s' is not in"),
    coco("an unknown image", annotated([A], NOTE, {**NOTE, "image_id": 9}), "image_id 9 is none"),
    coco(
        "a list as image", annotated([A], NOTE, {**NOTE, "image_id": [1]}), "image_id [1] is none"
    ),
    coco("a caption twice", annotated([A], NOTE, NOTE), "id 7 is there already"),
    coco("no caption", annotated([A], NOTE, {"id": 8, "image_id": 1}), "is missing"),
    coco("a number for a note", annotated([A], NOTE, 5), "image_id None is none"),
    coco("two years", annotated([A], NOTE), "no problems", OK),
]

FEATURES = np.arange(48, dtype=np.float32).reshape(4, 3, 4)


def scan(
    name: str, array: Callable[[Path], bytes] | bytes, says: str, code: int = 2, **files: str
) -> Case:
    def make(root: Path) -> None:
        content = array if isinstance(array, bytes) else array(root / "marker")
        put(root / "set", "train_ims.npy", content)
        given = {"caps": "a\nb\nc\nd\n", **files}
        for kind, text in given.items():
            put(root / "set", f"train_{kind}.txt", text)

    return Case(f"scan: {name}", make, CHECK, says, code)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"

SCAN = [
    scan("float16", npy(FEATURES.astype(np.float16)), "no problems", OK),
    scan("columns first", npy(np.asfortranarray(FEATURES)), "no problems", OK),
    scan("CRLF", npy(FEATURES), "no problems", OK, caps="a\r\nb\r\nc\r\nd\r\n"),
    scan("empty", b"", "no array to map"),
    scan("text", b"a dog\n", "no array to map"),
    scan("cut short", npy(FEATURES)[:-7], "no array to map"),
    scan("a header alone", npy(FEATURES)[:128], "no array to map"),
    scan("half a header", npy(FEATURES)[:40], "no array to map"),
    scan("Python objects", pickled_npy, "no array to map"),
    scan("a version from the future", b"\x93NUMPY\x09\x00" + bytes(200), "no array to map"),
    scan("whole numbers", npy(FEATURES.astype(np.int32)), "holds int32 of shape (4, 3, 4)"),
    scan("float64", npy(FEATURES.astype(np.float64)), "holds float64 of shape"),
    scan("big endian", npy(FEATURES.astype(">f4")), "holds >f4 of shape"),
    scan("two axes", npy(FEATURES[0]), "holds float32 of shape (3, 4)"),
    scan("no rows", npy(FEATURES[:0]), "holds float32 of shape (0, 3, 4)"),
    scan("a header that is no text", npy_header("\xff\xfe"), "no array to map"),
    scan("a deep header", npy_header("(" * 9_000), "no array to map"),
    scan("a header that runs", npy_header("__import__('os').getcwd()"), "no array to map"),
    scan("a huge shape", npy_header(HEADER % "(4611686018427387904, 9, 9)"), "no array to map"),
    scan("a negative shape", npy_header(HEADER % "(-4, 3, 4)"), "no array to map"),
    scan("a shape of text", npy_header(HEADER % "('4', 3, 4)"), "no array to map"),
    scan("captions that do not fit", npy(FEATURES), "do not fit the 3 captions", caps="a\nb\nc\n"),
    scan("no captions", npy(FEATURES), "do not fit the 0 captions", caps=""),
    scan("an empty caption", npy(FEATURES), "is empty", caps="a\n\nc\nd\n"),
    scan("ids that do not fit", npy(FEATURES), "3 ids do not fit", ids="1\n2\n3\n"),
    scan("an id twice", npy(FEATURES), "id '1' is there already on line 1", ids="1\n2\n1\n4\n"),
    scan("an empty id", npy(FEATURES), "the id is empty", ids="1\n\n3\n4\n"),
]


def folder_as(name: str) -> Make:
    return lambda root: (root / "set" / name).mkdir(parents=True)


def loop(name: str) -> Make:
    def make(root: Path) -> None:
        images(root / "set")
        (root / "set" / name).symlink_to(root / "set" / name)

    return make


def archive(root: Path) -> None:
    root.joinpath("set").mkdir()
    with (root / "set" / "train_ims.npy").open("wb") as file:
        np.savez(file, FEATURES)
    put(root / "set", "train_caps.txt", "a\nb\nc\nd\n")


PLACES = [
    Case("a folder as csv", folder_as("captions.csv"), CHECK, "no captioned image set"),
    Case("a folder as tokens", folder_as("Flickr8k.token.txt"), CHECK, "no captioned image set"),
    Case("a folder as npy", folder_as("train_ims.npy"), CHECK, "no array to map"),
    Case("a loop as csv", loop("captions.csv"), CHECK, "no captioned image set"),
    Case("a loop as npy", loop("train_ims.npy"), CHECK, "no array to map"),
    Case("an archive as npy", archive, CHECK, "an archive of arrays"),
    Case("no set", lambda root: None, CHECK, "no such folder"),
    Case("an empty folder", lambda root: (root / "set").mkdir(), CHECK, "no captioned image set"),
    Case("a picture as set", lambda root: put(root, "set", png()), CHECK, "no captioned image set"),
    Case(
        "an unknown format", captions("image,caption\na.png,a\n"), (*CHECK, "--format", "x"), "'x'"
    ),
    Case(
        "no such split", captions("image,caption\na.png,a\n"), (*CHECK, "--split", "x"), "no split"
    ),
    Case(
        "no such images",
        captions("image,caption\na.png,a\n"),
        (*CHECK, "--images", "no"),
        "no such",
    ),
]


@table([*CSV, *JSONL, *FLICKR8K, *KARPATHY, *COCO, *SCAN, *PLACES])
def test_outcome(
    case: Case,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(case, tmp_path, capfd, monkeypatch)
    assert not (tmp_path / "marker").exists()


def test_the_pickle_is_a_real_one(tmp_path: Path) -> None:
    file = put(tmp_path, "evil.npy", pickled_npy(tmp_path / "marker"))
    np.load(file, allow_pickle=True)
    assert (tmp_path / "marker").exists()
