"""Every parser of what others may have written, each as a function of bytes.

A target may succeed or raise a `UserItrError`; anything else is a defect of ours. The suite feeds
them mutations (`test_fuzz.py`), and `benchmarks/fuzz.py` does so for as long as one likes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from seeds import document_seed, jpegs, json_of, npy, npz, pickles, store_manifest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / name) for name in ("training", "conversion", "bad_input")]


@dataclass(frozen=True)
class Target:
    """A parser.

    Args:
        name: of it.
        run: parses bytes, with a folder of its own at hand.
        make_seeds: gives sound inputs, by which a mutation gets past the first checks.
    """

    name: str
    run: Callable[[Path, bytes], object]
    make_seeds: Callable[[], tuple[bytes, ...]]

    @cached_property
    def seeds(self) -> tuple[bytes, ...]:
        return self.make_seeds()


def attempt(target: Target, folder: Path, data: bytes) -> bool:
    """Whether a target takes the bytes; everything but a `UserItrError` comes out of here."""
    from user_itr.errors import UserItrError

    try:
        with nothing_runs():
            target.run(folder, data)
    except UserItrError as error:
        message = str(error)
        assert message, "an error that says nothing"
        message.encode("utf-8", "backslashreplace")
        return False
    return True


FORBIDDEN = re.compile(
    r"os\.(system|exec|posix_spawn|spawn|fork|remove|rename|rmdir|chmod|kill)|subprocess\.Popen"
    r"|socket\.(connect|bind|getaddrinfo)|pty\.spawn|shutil\.rmtree|webbrowser\.open"
)
_watching = [False]


@contextmanager
def nothing_runs() -> Any:
    """While this is entered, a program that is started, or a file that is removed, is an error."""
    if not _hooked:
        sys.addaudithook(_watch)
        _hooked.append(True)
    _watching[0] = True
    try:
        yield
    finally:
        _watching[0] = False


_hooked: list[bool] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching[0] and FORBIDDEN.match(event):
        _watching[0] = False
        raise AssertionError(f"a parser did {event} {arguments!r}")


def _png() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (2, 2)).save(stream, "PNG")
    return stream.getvalue()


def _set(folder: Path, files: dict[str, bytes]) -> None:
    (folder / "images").mkdir(exist_ok=True)
    if not (folder / "images" / "a.png").exists():
        (folder / "images" / "a.png").write_bytes(_png())
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _captions(name: str, format: str, **files: bytes) -> Callable[[Path, bytes], object]:
    def run(folder: Path, data: bytes) -> object:
        from user_itr.data.readers import read_splits, splits

        _set(folder, {name: data, **files})
        return read_splits(folder, splits(folder, format), format=format)

    return run


def _flickr8k(folder: Path, data: bytes) -> object:
    lists = {"Flickr_8k.trainImages.txt": b"a.png\n"}
    from user_itr.data.readers import read_captions

    _set(folder, {"Flickr8k.token.txt": data, **lists})
    return read_captions(folder, "train", format="flickr8k")


def _scan(folder: Path, data: bytes) -> object:
    from user_itr.data.readers import read_captions

    _set(folder, {"train_ims.npy": data, "train_caps.txt": b"a\nb\n", "train_ids.txt": b"1\n2\n"})
    return read_captions(folder, "train", format="scan")


def _cxc(folder: Path, data: bytes) -> object:
    from user_itr.evaluation.protocols.cxc import read_cxc

    (folder / "sits_test.csv").write_bytes(data)
    for name, header in (("sis", "image1,image2"), ("sts", "caption1,caption2")):
        (folder / f"{name}_test.csv").write_text(f"{header},agg_score\n{_PAIRS[name]},4\n")
    return read_cxc(folder, "test", (3,), (7,), np.array([0]))


_PAIRS = {"sis": "x_3.jpg,x_3.jpg", "sts": "x:7,x:7"}


def _query(_: Path, data: bytes) -> object:
    from user_itr.search.query import parse_query

    query = parse_query(data.decode("utf-8", "surrogateescape"))
    assert query.plus
    assert all(term == " ".join(term.split()) for term in (*query.plus, *query.minus))
    return query


def _filters(_: Path, data: bytes) -> object:
    import sqlite3

    from user_itr.search.filters import Filters
    from user_itr.search.store.conditions import Kept, condition_of
    from user_itr.search.store.lance_rows import sql

    text = data.decode("utf-8", "surrogateescape").split("\n")
    text += [""] * (7 - len(text))
    days = [_day(part) for part in text[:2]]
    numbers = [int(part) if re.fullmatch("-?[0-9]{1,40}", part) else None for part in text[3:7]]
    filters = Filters(*days, Path(text[2]) if text[2] else None, *numbers)
    condition = condition_of(filters, [(1, "/"), (2, "/photos")], Kept(tables=False, hidden=False))
    assert condition.text.isascii()
    sqlite3.connect(":memory:").execute(
        "WITH f AS (SELECT 1 AS folder, 0 AS moment, 0 AS size), c AS (SELECT 1 AS width, "
        f"1 AS height) SELECT 1 FROM f, c WHERE {condition.text}",
        condition.values,
    ).fetchall()
    where = sql(filters)
    if where is not None:
        assert where.isprintable() or text[2]
        assert where.count("'") % 2 == 0
    return where


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _yaml(folder: Path, data: bytes) -> object:
    from user_itr.config.loading import load_settings

    (folder / "s.yaml").write_bytes(data)
    return load_settings(folder / "s.yaml")


def _override(_: Path, data: bytes) -> object:
    from user_itr.config.loading import load_settings

    return load_settings(None, [data.decode("utf-8", "surrogateescape")])


def _grid(folder: Path, data: bytes) -> object:
    from user_itr.ablation.grid import load_grid, row_settings

    (folder / "g.yaml").write_bytes(data)
    grid = load_grid(folder / "g.yaml")
    return [row_settings(grid, name, 0) for name, row in grid.rows.items() if not row.members]


def _manifest(folder: Path, data: bytes) -> object:
    from user_itr.search.manifest import Manifest

    (folder / "index.json").write_bytes(data)
    return Manifest.read(folder)


def _store(folder: Path, data: bytes) -> object:
    from user_itr.features.store import FeatureStore

    cut = data.find(b"\x93NUMPY")
    cut = len(data) if cut < 0 else cut
    (folder / "manifest.json").write_bytes(data[:cut])
    (folder / "features.npy").write_bytes(data[cut:])
    return FeatureStore.open(folder).rows(["a"])


def _document(folder: Path, data: bytes) -> object:
    from user_itr.evaluation.comparison import compare
    from user_itr.evaluation.document import read_document

    (folder / "e.json").write_bytes(data)
    found = read_document(folder / "e.json")
    return compare(found, found)


def _scores(folder: Path, data: bytes) -> object:
    from user_itr.evaluation.inputs.arrays import open_array
    from user_itr.evaluation.scores import MatrixScores

    (folder / "s.npy").write_bytes(data)
    return MatrixScores(open_array(folder / "s.npy"))


def _run(folder: Path, data: bytes) -> object:
    from user_itr.model.checkpoint import resolve_checkpoint
    from user_itr.training.run_folder import RunFolder

    (folder / "run.json").write_bytes(data)
    (folder / "config.yaml").write_text("{}\n")
    RunFolder(folder).open()
    found = resolve_checkpoint(folder)
    assert found.parent == folder / "checkpoints"
    return found


def _state(folder: Path, data: bytes) -> object:
    from user_itr.training.state import read_state

    (folder / "training.json").write_bytes(data)
    (folder / "training.safetensors").write_bytes(_tensors())
    return read_state(folder)


def _tensors() -> bytes:
    import torch
    from safetensors.torch import save

    return save({"0": torch.arange(3)})


def _measurement(folder: Path, data: bytes) -> object:
    from user_itr.ablation.measurement import read_embeddings, read_measurement

    (folder / "dev.npz").write_bytes(data)
    return read_measurement(folder).figures, read_embeddings(folder)


def _sentences(folder: Path, data: bytes) -> object:
    from user_itr.search.sentences import read_sentences

    (folder / "s.txt").write_bytes(data)
    return read_sentences(folder / "s.txt")


def _image(folder: Path, data: bytes) -> object:
    from user_itr.data.images import load_image

    if _claimed_pixels(data) > 1_000_000:  # sound, and slow
        return None
    path = folder / "a.jpg"
    path.write_bytes(data)
    return load_image(path, draft=16)


def _claimed_pixels(data: bytes) -> int:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width * image.height
    except Exception:
        return 0


class Checkpoint:
    """One file of a tiny checkpoint is replaced, and its hash corrected where `hashed`."""

    def __init__(self, file: str, hashed: bool = True) -> None:
        self.file = file
        self.hashed = hashed

    def __call__(self, folder: Path, data: bytes) -> object:
        from user_itr.model.checkpoint import load_model

        for name, content in tiny_checkpoint().items():
            (folder / name).write_bytes(data if name == self.file else content)
        if self.file == "model.safetensors" and self.hashed:
            config = json.loads(tiny_checkpoint()["config.json"])
            config["weights_sha256"] = hashlib.sha256(data).hexdigest()
            (folder / "config.json").write_text(json.dumps(config))
        found = load_model(folder)
        assert self.hashed or data == tiny_checkpoint()[self.file]
        return found.tokenizer(["a dog", ""])


_made: dict[str, bytes] = {}


def tiny_checkpoint() -> dict[str, bytes]:
    """The files of a small sound checkpoint, by name."""
    if not _made:
        import tempfile

        from tiny_runs import silent, tiny_settings, write_scan_set

        from user_itr.model.checkpoint import save_model
        from user_itr.training.preparation import prepare

        with tempfile.TemporaryDirectory() as folder:
            data = write_scan_set(Path(folder) / "things")
            small = ("model.embedding=4", "model.text.gru_width=3", "model.text.word_width=2")
            model = prepare(tiny_settings(data, "features.width=3", *small), silent).model
            save_model(Path(folder) / "model", model)
            for path in (Path(folder) / "model").iterdir():
                _made[path.name] = path.read_bytes()
    return _made


def _published(folder: Path, data: bytes) -> object:
    from user_itr.conversion.reading import read_published

    (folder / "official.pth").write_bytes(data)
    found = read_published(folder / "official.pth")
    for tensor in (*found.image.values(), *found.text.values()):
        assert tensor.nbytes <= len(data)
        tensor.float().sum()  # all of it is there
    return found


def all_targets() -> dict[str, Target]:
    """Every target by its name."""
    image = {"filename": "a.png", "split": "train", "sentences": [{"raw": "a", "sentid": 1}]}
    notes = [{"id": 1, "image_id": 3, "caption": "a dog"}]
    coco = {"images": [{"id": 3, "file_name": "a.png"}], "annotations": notes}
    features = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    state = {"$dict": [["a", {"$tensor": "0"}], ["b", [1, 2.5, None, {"$dict": []}]]]}
    grid = {"description": "x", "base": "flickr8k", "seeds": [0], "reference": "a"}
    rows = {"a": {"label": "A", "set": {"training": {"epochs": 2}}}, "b": {"label": "B"}}
    index = {"fingerprint": "f", "description": "d", "dim": 8, "model": "m", "generation": 1}
    targets = [
        Target("csv", _captions("captions.csv", "captions"), lambda: (b'image,caption,split\na.png,"a, dog",train\n',)),
        Target("jsonl", _captions("captions.jsonl", "captions"), lambda: (b'{"image": "a.png", "caption": ["a", "b"], "split": "dev"}\n',)),
        Target("flickr8k", _flickr8k, lambda: (b"a.png#0\ta dog\r\na.png#1\tit runs\n",)),
        Target("karpathy", _captions("dataset_x.json", "karpathy"), lambda: (json_of({"images": [image], "dataset": "x"}),)),
        Target("coco", _captions("captions_train2014.json", "coco"), lambda: (json_of(coco),)),
        Target("scan", _scan, lambda: (npy(features), npy(features.astype(np.float16)))),
        Target("cxc", _cxc, lambda: (b"caption,image,agg_score\nx:7,x_3.jpg,4.5\n",)),
        Target("query", _query, lambda: (b'"beach" - "people"', b"two dogs -snow", b'"a bike" + "sunset" x')),
        Target("filters", _filters, lambda: (b"2021-01-01\n2022-01-01\n/photos\n1\n2\n3\n4", b"0001-01-01\n9999-12-31\n~x\n")),
        Target("yaml", _yaml, lambda: (b"training: {epochs: 3, seed: &s 1}\nmodel:\n  embedding: 64\n", b"a: &a [*a]")),
        Target("set", _override, lambda: (b"training.epochs=3", b"optimizer.decay_epochs=[1, 2]", b"data.path=/x")),
        Target("grid", _grid, lambda: (json_of({**grid, "rows": rows}),)),
        Target("index", _manifest, lambda: (json_of({**index, "format_version": 2}),)),
        Target("store", _store, lambda: (json_of(store_manifest()) + npy(np.zeros((2, 3, 4), np.float16)),)),
        Target("document", _document, lambda: (document_seed(),)),
        Target("scores", _scores, lambda: (npy(features[0]), npy(features[0].astype(np.float64)))),
        Target("run", _run, lambda: (b'{"last": "epoch-1-batch-0", "best": "epoch-1-batch-0", "best_rsum": 1.5}',)),
        Target("state", _state, lambda: (json_of({"format_version": 1, "state": state}),)),
        Target("measurement", _measurement, lambda: (npz(),)),
        Target("sentences", _sentences, lambda: (b"\xef\xbb\xbfa dog\r\na cat\n",)),
        Target("image", _image, lambda: jpegs()),
        Target("config", Checkpoint("config.json"), lambda: (tiny_checkpoint()["config.json"],)),
        Target("weights", Checkpoint("model.safetensors"), lambda: (tiny_checkpoint()["model.safetensors"],)),
        Target("hash", Checkpoint("model.safetensors", hashed=False), lambda: (tiny_checkpoint()["model.safetensors"],)),
        Target("tokenizer", Checkpoint("tokenizer.json"), lambda: (tiny_checkpoint()["tokenizer.json"],)),
        Target("published", _published, lambda: pickles()),
    ]  # fmt: skip
    return {target.name: target for target in targets}
