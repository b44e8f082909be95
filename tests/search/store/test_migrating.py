"""An index that user-itr 0.1 made, of format 2, becomes one of format 3."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from damage import faults
from inspect_index import stored
from killable_index import fresh

from user_itr.errors import IndexStoreError
from user_itr.search.index import ImageIndex
from user_itr.search.manifest import PENDING, Manifest
from user_itr.search.query import search_text
from user_itr.search.sentences import SentenceStore
from user_itr.search.table import write_lock

OLD = Path(__file__).parents[2] / "compatibility" / "files-0.1.0" / "index"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of it; the photos are those of `PALETTE`, in files that are not there."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "index.lock"]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_all_is_carried_over(old: Path, encoder: ColourEncoder) -> None:
    pytest.importorskip("lancedb")
    index = ImageIndex.open(old)
    assert Manifest.read(old).format_version == 3
    rows = index.ask(lambda store: list(store.files()))
    assert len(rows) == len(index) == len(PALETTE)
    assert all(row.state.ctime_ns == -1 for row in rows), "each file is to be read again"
    for colour in PALETTE:
        [best] = search_text(index, encoder, colour, k=1)
        assert (best.path.stem, best.width, best.height) == (colour, 12, 8)
        wanted = encoder.encode_text([colour])[0]
        embedding = index.embedding_of(best.id)
        assert embedding is not None
        assert int(np.argmax(embedding)) == int(np.argmax(wanted))
    sentences = SentenceStore(index)
    assert sentences.texts() == ["something red", "something blue"]
    red = search_text(index, encoder, "red", k=1)[0]
    assert sentences.describe(index.embedding_of(red.id))[0].text == "something red"
    names = {path.name for path in old.iterdir()}
    assert names - {"photos.db-wal", "photos.db-shm", "photos.db-lock"} == {
        "index.json",
        "index.lock",
        "photos-1.neighbours",
        "photos.db",
    }
    assert faults(old / "photos.db") == []
    derived = list((old / "photos-1.neighbours").iterdir())
    assert len(derived) == 1
    assert (derived[0] / "files.json").is_file(), "the derived files are those of the new format"
    again = digests(old)
    assert stored(ImageIndex.open(old)) == stored(index)
    assert digests(old) == again, "once is enough"


def test_the_next_update_leaves_what_a_new_index_has(
    tmp_path: Path, encoder: ColourEncoder
) -> None:
    """The old index is made by its release of photos that are there."""
    pytest.importorskip("lancedb")
    from user_itr.search.location import location_of
    from user_itr.search.store.lance import STATE_COLUMNS, LanceStore

    photos, place = tmp_path / "photos", tmp_path / "old"
    for number, colour in enumerate(PALETTE):
        paint(photos / f"{number}.png", colour)
    whole = fresh(tmp_path / "fresh", photos)
    manifest = Manifest(**{**_fields(whole.manifest), "format_version": 2})
    manifest.write(place)
    lance = LanceStore(location_of(place), "photos-1", "sentences-1", encoder.dim, create=True)
    lance._table.drop_columns(list(STATE_COLUMNS))
    lance._table.add(_old_rows(whole, lance._table.schema.names))
    index = ImageIndex.create_or_open(place, encoder, "model")
    assert len(index) == len(PALETTE)
    index.update(photos, encoder)
    assert stored(index) == stored(whole)
    assert faults(place / "photos.db") == []


def _fields(manifest: Manifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}


def _old_rows(index: ImageIndex, columns: list[str]) -> list[dict[str, object]]:
    rows = []
    for file in index.ask(lambda store: list(store.files())):
        [facts] = [facts for facts in index.newest(99) if str(facts.path) == file.path]
        embedding = index.embedding_of(facts.id)
        assert embedding is not None
        row = {
            "id": facts.id,
            "path": file.path,
            "size": file.state.size,
            "mtime_ns": file.state.mtime_ns,
            "hash": file.hash,
            "taken": facts.taken,
            "width": facts.width,
            "height": facts.height,
            "root": file.root,
            "embedding": embedding,
        }
        assert sorted(row) == sorted(columns)
        rows.append(row)
    return rows


def test_one_that_was_interrupted_is_begun_anew(old: Path, encoder: ColourEncoder) -> None:
    pytest.importorskip("lancedb")
    for ending in ("", "-wal", "-undo"):
        (old / f"photos.db{ending}").write_bytes(b"half of it")
    index = ImageIndex.create_or_open(old, encoder, "colours")
    assert len(index) == len(PALETTE)
    assert faults(old / "photos.db") == []


def test_a_rebuild_that_an_old_release_began(old: Path, encoder: ColourEncoder) -> None:
    pytest.importorskip("lancedb")
    begun = {**json.loads((old / "index.json").read_text()), "generation": 2}
    (old / PENDING).write_text(json.dumps(begun))
    shutil.copytree(old / "photos-1.lance", old / "photos-2.lance")
    rebuilt = ImageIndex.rebuild(old, encoder, "colours")
    assert len(rebuilt) == 0
    rebuilt.commit()
    assert not list(old.glob("*.lance"))
    assert len(ImageIndex.open(old)) == 0


def test_it_waits_for_no_other_writer(old: Path) -> None:
    pytest.importorskip("lancedb")
    before = digests(old)
    with write_lock(old), pytest.raises(IndexStoreError, match="another process is writing"):
        ImageIndex.open(old)
    assert digests(old) == before


def test_a_damaged_one_is_left_alone(old: Path) -> None:
    pytest.importorskip("lancedb")
    for file in (old / "photos-1.lance" / "data").iterdir():
        file.write_bytes(bytes(file.stat().st_size))
    before = digests(old)
    with pytest.raises(IndexStoreError, match="the index cannot be read"):
        ImageIndex.open(old)
    left = digests(old)
    assert {name: left[name] for name in before if not name.startswith("photos-1.n")} == {
        name: digest for name, digest in before.items() if not name.startswith("photos-1.n")
    }
    assert Manifest.read(old).format_version == 2


@pytest.mark.parametrize("missing", ["lancedb", "pyarrow"])
def test_without_lancedb_it_is_refused_with_the_remedy(old: Path, missing: str) -> None:
    before = digests(old)
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from user_itr.cli import main; main(['search', 'red', '--index', {str(old)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "1000"},
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert (
        "an earlier user-itr made this index; run `pip install 'user-itr[s3]'` once" in done.stderr
    )
    assert digests(old) == before
