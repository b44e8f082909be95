from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import PALETTE, ColourEncoder, StoppedEncoder, paint
from inspect_index import counts
from made_rows import kept
from PIL import Image

from user_itr.errors import ConfigError, IndexStoreError
from user_itr.search.index import ImageIndex


def test_colour_words_find_pictures(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    report = index.update(photos, encoder)
    assert counts(report) == (len(PALETTE), 0, 0, 0)
    assert report.folder == photos
    assert not report.skipped
    assert len(index) == len(PALETTE)
    for colour in PALETTE:
        hits = index.search(encoder.encode_text([f"a {colour} thing"])[0], k=3)
        assert [hit.rank for hit in hits] == [1, 2, 3]
        assert hits[0].path.stem == colour
        assert (hits[0].width, hits[0].height) == (12, 8)
        assert hits[0].path.is_absolute()


def test_ranking_agrees_with_numpy(
    tmp_path: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)
    (tmp_path / "noise").mkdir()
    paths = [tmp_path / "noise" / f"{number:02}.png" for number in range(60)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    index.update(tmp_path / "noise", encoder, batch_size=7)
    embeddings = kept(encoder.encode_images(paths), half=True)
    query = 5 * embeddings[3] - 4 * embeddings[8]
    exact = embeddings @ query / np.linalg.norm(query)
    hits = index.search(query, k=100)
    assert [hit.path for hit in hits] == [paths[row] for row in np.argsort(-exact)]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(exact)[::-1], atol=1e-6)
    opposite = index.search(-embeddings[0], k=100)
    assert -1 <= opposite[-1].score < -0.9999


def test_ties_come_by_path_and_scores_stay_in_range(
    tmp_path: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    for name in "cab":
        paint(tmp_path / "same" / f"{name}.png", "red")
    index.update(tmp_path / "same", encoder)
    hits = index.search(encoder.encode_images([tmp_path / "same" / "a.png"])[0])
    assert [hit.path.stem for hit in hits] == ["a", "b", "c"]
    assert all(0.99999 < hit.score <= 1 for hit in hits)


def test_bad_queries_are_refused(photos: Path, index: ImageIndex, encoder: ColourEncoder) -> None:
    query = np.ones(encoder.dim, np.float32)
    assert index.search(query) == []
    for k in (0, -3):
        with pytest.raises(ConfigError, match=f"results is {k}"):
            index.search(query, k)
    for bad in (query[:-1], query[None]):
        with pytest.raises(IndexStoreError, match="shape"):
            index.search(bad)
    for bad in (0 * query, np.nan * query, np.inf * query):
        with pytest.raises(IndexStoreError, match="norm"):
            index.search(bad)


def test_search_while_another_handle_updates(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    reader = ImageIndex.open(index.path)
    query = encoder.encode_text(["red"])[0]
    done = threading.Event()
    names: list[str] = []
    errors: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                names.append(reader.search(query, 1)[0].path.name)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(12):
        paint(photos / "blue.png", "blue", (5 + number, 5))
        index.update(photos, encoder)
    done.set()
    thread.join()
    assert not errors
    assert set(names) == {"red.png"}


def test_another_model_is_refused(photos: Path, index: ImageIndex, encoder: ColourEncoder) -> None:
    index.update(photos, encoder)
    other = ColourEncoder("newer colours")
    for attempt in (
        lambda: ImageIndex.create_or_open(index.path, other, "m"),
        lambda: index.update(photos, other),
        lambda: index.check_model(other),
    ):
        with pytest.raises(IndexStoreError) as caught:
            attempt()
        for part in (
            encoder.fingerprint[:12],
            other.fingerprint[:12],
            "newer colours",
            "--rebuild",
        ):
            assert part in str(caught.value)
    assert len(ImageIndex.open(index.path)) == 8


def test_rebuild_with_another_model(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    with pytest.raises(KeyboardInterrupt):
        ImageIndex.rebuild(index.path, StoppedEncoder(0, KeyboardInterrupt()), "m").update(
            photos, StoppedEncoder(1, KeyboardInterrupt()), batch_size=2
        )
    other = ColourEncoder("newer colours")
    started = ImageIndex.rebuild(index.path, other, "new model")
    assert len(started) == 0, "the rebuild of another model is not continued"
    started.update(photos / "even", other)
    assert ImageIndex.open(index.path).manifest.fingerprint == encoder.fingerprint
    assert len(ImageIndex.open(index.path)) == 8
    rebuild_file = index.path / "rebuild.json"
    whole = rebuild_file.read_text()
    rebuild_file.write_text("{")
    with pytest.raises(IndexStoreError, match=r"rebuild\.json.*delete the file"):
        ImageIndex.rebuild(index.path, other, "new model")
    rebuild_file.write_text(whole)
    resumed = ImageIndex.rebuild(index.path, other, "new model")
    assert counts(resumed.update(photos, other)) == (4, 0, 4, 0)
    resumed.commit()
    resumed.commit()
    opened = ImageIndex.open(index.path)
    assert opened.manifest.fingerprint == other.fingerprint
    assert opened.manifest.model == "new model"
    assert len(opened) == 8
    others = ("index.lock", "photos.db-lock", "photos.db-wal", "photos.db-shm")
    assert sorted(p.name for p in index.path.iterdir() if p.name not in others) == [
        "index.json",
        "matches-2.npz",
        "photos-2.neighbours",
        "photos.db",
    ]


def test_rebuild_of_nothing_creates(tmp_path: Path, encoder: ColourEncoder) -> None:
    fresh = ImageIndex.rebuild(tmp_path / "fresh", encoder, "m")
    fresh.commit()
    assert len(ImageIndex.open(tmp_path / "fresh")) == 0


def test_the_checkpoint_is_recorded(
    tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    ImageIndex.create_or_open("index", encoder, "runs")
    assert ImageIndex.open("index").manifest.model == str(tmp_path / "runs")
    ImageIndex.create_or_open("index", encoder, "a-name")
    manifest = json.loads((tmp_path / "index" / "index.json").read_text())
    assert manifest == {
        "fingerprint": encoder.fingerprint,
        "description": encoder.description,
        "dim": 8,
        "model": "a-name",
        "generation": 1,
        "format_version": 3,
    }


def test_folders_that_are_no_index(tmp_path: Path, photos: Path, encoder: ColourEncoder) -> None:
    with pytest.raises(IndexStoreError, match="no such search index"):
        ImageIndex.open(tmp_path / "nothing")
    with pytest.raises(IndexStoreError, match="is not a search index"):
        ImageIndex.open(photos)
    with pytest.raises(IndexStoreError, match="holds other things"):
        ImageIndex.create_or_open(photos, encoder, "m")
    with pytest.raises(IndexStoreError, match="is a file"):
        ImageIndex.create_or_open(photos / "red.png", encoder, "m")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 4}, "format version 4, and this user-itr reads up to 3; upgrade"),
        ({"format_version": 1}, "made by an earlier user-itr"),
        ({"dim": "wide"}, "dim is 'wide'"),
        ({"dim": True}, "dim is True"),
        ({"generation": 0}, "generation is 0"),
        ({"fingerprint": None}, "fingerprint is None"),
    ],
)
def test_manifests_are_validated(
    index: ImageIndex, change: dict[str, object], message: str
) -> None:
    file = index.path / "index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(IndexStoreError, match=message):
        ImageIndex.open(index.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\ufeff{}"])
def test_a_damaged_manifest(index: ImageIndex, encoder: ColourEncoder, text: str) -> None:
    (index.path / "index.json").write_text(text, encoding="utf-8")
    for attempt in (ImageIndex.open, lambda p: ImageIndex.create_or_open(p, encoder, "m")):
        with pytest.raises(IndexStoreError, match=r"index\.json"):
            attempt(index.path)


def test_an_open_index_follows_a_rebuild_by_its_model(
    photos: Path, index: ImageIndex, encoder: ColourEncoder
) -> None:
    index.update(photos, encoder)
    reader = ImageIndex.open(index.path)
    again = ImageIndex.rebuild(index.path, encoder, "model")
    paint(photos / "new.png", "red")
    again.update(photos, encoder)
    assert len(reader) == len(PALETTE)
    again.commit()  # takes the old table away
    names = [hit.path.stem for hit in reader.search(encoder.encode_text(["red"])[0], 2)]
    assert sorted(names) == ["new", "red"]
    other = ColourEncoder("newer colours")
    newest = ImageIndex.rebuild(index.path, other, "newer")
    newest.update(photos, other)
    newest.commit()
    with pytest.raises(IndexStoreError, match="made again by another model"):
        reader.search(encoder.encode_text(["red"])[0])
