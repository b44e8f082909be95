"""Files that earlier releases wrote are read; files of later ones are refused with a sentence."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from user_itr import ImageIndex, load
from user_itr.ablation.measurement import read_embeddings, read_measurement
from user_itr.bulk.collection import EmbeddingCollection
from user_itr.errors import UserItrError
from user_itr.evaluation.document import read_document
from user_itr.features.store import FeatureStore
from user_itr.search.query import search
from user_itr.search.sentences import SentenceStore
from user_itr.training.run_folder import RunFolder
from user_itr.training.state import read_state

sys.path.append(str(Path(__file__).parents[1] / "training"))
sys.path.append(str(Path(__file__).parents[1] / "features"))
sys.path.append(str(Path(__file__).parents[1] / "search"))
from colour_encoder import PALETTE, ColourEncoder, paint
from feature_helpers import quadrant_oracle
from tiny_runs import resume

HERE = Path(__file__).parent
RELEASES = sorted(path.name for path in HERE.glob("files-*"))


@pytest.fixture(params=RELEASES)
def files(request, tmp_path, monkeypatch) -> Path:
    """A copy of what a release wrote, where its relative paths lead."""
    shutil.copytree(HERE / request.param, tmp_path / request.param)
    monkeypatch.chdir(tmp_path)
    return Path(request.param)


def test_there_is_a_release():
    assert "files-0.1.0" in RELEASES


def test_a_checkpoint_embeds_as_it_did(files):
    model = load(files / "run")
    expected = np.load(files / "expected.npz")
    images = model.encode_regions(np.load(files / "things" / "dev_ims.npy"))
    captions = model.encode_text(["a dog and a cat", "the old boat"])
    np.testing.assert_allclose(images, expected["images"], atol=1e-5)
    np.testing.assert_allclose(captions, expected["captions"], atol=1e-5)


def test_a_run_is_known_and_its_training_state_fits(files):
    trainer = resume(files / "run")
    assert trainer.is_over()
    assert trainer.place.epoch == 1
    assert int(trainer.step.contrast.image_queue.filled) == 5


def test_a_measurement_and_an_evaluation_agree(files):
    measured = read_measurement(files / "run")
    stored = read_document(files / "evaluation.json")
    assert measured.minutes == 0.5
    assert stored.ranks.i2t.ranks().tolist() == measured.i2t_ranks.tolist()
    images, _ = read_embeddings(files / "run")
    np.testing.assert_allclose(images, np.load(files / "expected.npz")["images"], atol=1e-5)


def test_a_feature_store_has_its_features(files, tmp_path):
    store = FeatureStore.open(files / "store")
    store.verify()
    assert len(store) == len(PALETTE)
    for colour in PALETTE:
        painted = paint(tmp_path / f"{colour}.png", colour)
        [row] = store.rows([painted.name])
        np.testing.assert_allclose(store.array[row], quadrant_oracle(painted), rtol=1e-3)


def test_an_index_is_searched_and_brought_up_to_date(files, tmp_path):
    encoder = ColourEncoder()
    index = ImageIndex.open(files / "index")
    assert len(index) == len(PALETTE)
    [best] = search(index, encoder, text="red", k=1)
    assert (best.path.name, best.width, best.height) == ("red.png", 12, 8)
    texts = [one.text for one in SentenceStore(index).describe(index.embedding_of(best.id))]
    assert texts[0] == "something red"
    paint(tmp_path / "photos" / "new.png", "red", (20, 20))
    assert index.update(tmp_path / "photos", encoder).added == 1
    assert len(index) == len(PALETTE) + 1


def test_a_collection_of_embeddings_is_the_encoders(files, tmp_path):
    collection = EmbeddingCollection(files / "collection")
    collection.verify()
    [table] = collection.tables()
    painted = [paint(tmp_path / key, Path(key).stem) for key in table["key"].to_pylist()]
    expected = ColourEncoder().encode_images(painted)
    np.testing.assert_allclose(collection.embeddings(), expected, atol=1e-6)


def checkpoint(files: Path) -> Path:
    return next((files / "run" / "checkpoints").iterdir())


VERSIONED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "run/run.json": (
        "format_version",
        lambda files: RunFolder(files / "run").open(),
        "upgrade user-itr",
    ),
    "run/checkpoints/*/config.json": (
        "format_version",
        lambda files: load(files / "run"),
        "upgrade user-itr",
    ),
    "run/checkpoints/*/training.json": (
        "format_version",
        lambda files: read_state(checkpoint(files)),
        "resume with the release that wrote it",
    ),
    "store/manifest.json": (
        "format_version",
        lambda files: FeatureStore.open(files / "store"),
        "update user-itr",
    ),
    "index/index.json": (
        "format_version",
        lambda files: ImageIndex.open(files / "index"),
        "upgrade user-itr",
    ),
    "collection/manifest.json": (
        "format_version",
        lambda files: EmbeddingCollection(files / "collection"),
        "upgrade user-itr",
    ),
    "evaluation.json": (
        "format",
        lambda files: read_document(files / "evaluation.json"),
        "upgrade user-itr",
    ),
}
"""Each versioned file: its field, who reads it, and the remedy where it is of a later release."""


@pytest.mark.parametrize("pattern", VERSIONED)
def test_files_of_a_later_release_are_refused_with_the_remedy(files, pattern):
    field, read, remedy = VERSIONED[pattern]
    [file] = files.glob(pattern)
    read(files)
    content = json.loads(file.read_text("utf-8"))
    content[field] += 1
    file.write_text(json.dumps(content), "utf-8")
    with pytest.raises(UserItrError) as caught:
        read(files)
    for part in (file.name, str(content[field]), remedy):
        assert part in str(caught.value)


def test_a_manifest_nested_too_deeply_is_refused(files):
    (files / "collection" / "manifest.json").write_text("[" * 100_000, "utf-8")
    with pytest.raises(UserItrError, match="nested too deeply"):
        EmbeddingCollection(files / "collection")


def test_a_measurement_of_a_later_release_is_refused(files):
    file = files / "run" / "dev.npz"
    with np.load(file) as stored:
        values = dict(stored)
    values["format_version"] = values["format_version"] + 1
    np.savez(file, **values)
    with pytest.raises(UserItrError, match=r"dev\.npz: .*upgrade user-itr"):
        read_measurement(files / "run")


def test_every_json_file_of_a_release_says_its_format(files):
    known = {str(path) for pattern in VERSIONED for path in files.glob(pattern)}
    others = ("tokenizer.json", "latest_version_hint.json")  # of tokenizers and of Lance
    derived = "current.json"  # of a later format it is not used, and made again
    assert all("format_version" in path.read_text("utf-8") for path in files.rglob(derived))
    written = {str(path) for path in files.rglob("*.json") if path.name not in (*others, derived)}
    assert written == known
