"""What other people's code writes: every row has the right value, or is refused by name.

The right values come from `plain_rsum`: every cosine alone, one sort a query.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from score_files import IMAGES, OWNER, PER_IMAGE, WIDTH, Bench, cosines, plain_rsum, unit, vectors
from shell import Command


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


@pytest.fixture
def bench(command: Command, tmp_path: Path) -> Bench:
    return Bench(command, tmp_path)


def test_unit_vectors_have_nothing_to_say(bench: Bench) -> None:
    images, captions, _ = vectors()
    rsum, notes, _ = bench(bench.embeddings(unit(images), unit(captions)))
    assert rsum == pytest.approx(597.0)
    assert rsum == pytest.approx(plain_rsum(cosines(images, captions), OWNER))
    assert notes == []


def test_five_copies_a_row_are_taken_once(bench: Bench) -> None:
    images, captions, random = vectors()
    path = bench.embeddings(unit(images)[OWNER], unit(captions))
    rsum, notes, document = bench(path)
    assert rsum == pytest.approx(597.0)
    assert document["metrics"]["t2i"]["candidates"] == IMAGES
    assert "rows of images are repeated, one a caption (5 an image)" in notes[0]
    tiled = bench(bench.embeddings(np.tile(unit(images), (5, 1)), unit(captions)))
    assert tiled[0] == pytest.approx(597.0)
    nearly = unit(images)[OWNER] + 1e-7 * random.normal(size=(200, WIDTH))  # batches of a GPU
    assert bench(bench.embeddings(nearly.astype(np.float32), unit(captions)))[0] == rsum


def test_copies_that_differ_are_refused(bench: Bench) -> None:
    images, captions, _ = vectors()
    repeated = unit(images)[OWNER]
    repeated[17] += 0.01
    sentence = bench.refused(bench.embeddings(repeated, unit(captions)))
    assert "rows 15 and 17, both of image 3, differ; give each image one row" in sentence


@pytest.mark.parametrize("scale", ["both", "images", "captions"])
def test_vectors_of_any_length_get_their_cosine(bench: Bench, scale: str) -> None:
    images, captions, random = vectors(2.5)
    images, captions = unit(images), unit(captions)
    lengths = np.exp(random.normal(size=(IMAGES, 1))), np.exp(random.normal(size=(200, 1)))
    if scale != "captions":
        images = images * lengths[0]
    if scale != "images":
        captions = captions * lengths[1]
    path = bench.embeddings(images.astype(np.float32), captions.astype(np.float32))
    cosine, notes, _ = bench(path)
    assert cosine == pytest.approx(plain_rsum(cosines(images, captions), OWNER))
    assert len(notes) == (2 if scale == "both" else 1)
    assert "not of unit length" in notes[0]
    assert "--score dot takes the products" in notes[0]
    product, notes, _ = bench(path, "--score", "dot")
    assert product == pytest.approx(plain_rsum(images @ captions.T, OWNER))
    assert notes == []
    assert product != cosine
    assert bench(path, "--score", "cosine")[:2] == (cosine, [])


def test_half_precision_is_of_unit_length(bench: Bench) -> None:
    images, captions, _ = vectors()
    low = unit(images).astype(np.float16), unit(captions).astype(np.float16)
    rsum, notes, _ = bench(bench.embeddings(*low))
    assert rsum == pytest.approx(plain_rsum(low[0].astype(float) @ low[1].astype(float).T, OWNER))
    assert notes == []


def test_a_zero_row_is_named_and_never_found(bench: Bench) -> None:
    images, captions, _ = vectors()
    captions = unit(captions)
    captions[3] = 0
    rsum, notes, _ = bench(bench.embeddings(unit(images), captions))
    assert rsum == pytest.approx(plain_rsum(unit(images) @ captions.T, OWNER))
    assert "captions.npy: 1 rows are zero, and score 0 with everything" in notes[0]


def test_a_transposed_matrix_is_named(bench: Bench) -> None:
    images, captions, _ = vectors(2.5)
    scores = cosines(images, captions)
    rsum, notes, _ = bench(bench.matrix(scores.T.copy()))
    assert rsum == pytest.approx(plain_rsum(scores, OWNER))
    assert "is transposed, 200 captions x 40 images" in notes[0]


def test_a_square_matrix_says_which_side_was_taken(bench: Bench) -> None:
    images, captions, _ = vectors(2.5)
    scores = cosines(images, captions[::PER_IMAGE])
    np.save(bench.folder / "owner.npy", np.arange(IMAGES))
    rsum, notes, document = bench(bench.matrix(scores))
    assert rsum == pytest.approx(plain_rsum(scores, np.arange(IMAGES)))
    assert "is square, 40 x 40: rows were taken for images" in notes[0]
    turned = bench(bench.matrix(scores.T.copy()), "--transposed")
    assert turned[2]["metrics"] == document["metrics"]
    assert turned[1] == []


def test_a_square_transposed_matrix_is_told_by_its_copies(bench: Bench) -> None:
    """Captions x images with each image five times: 200 x 200, as VSE++ makes it, transposed."""
    images, captions, _ = vectors(2.5)
    scores = cosines(images, captions)
    square = scores[OWNER]
    for matrix, word in ((square, "repeated"), (square.T.copy(), "square and transposed")):
        rsum, notes, document = bench(bench.matrix(matrix))
        assert rsum == pytest.approx(plain_rsum(scores, OWNER))
        assert document["metrics"]["t2i"]["candidates"] == IMAGES
        assert word in notes[0]
    other = square + np.random.default_rng(1).normal(size=square.shape)
    assert "differ; give each image one row" in bench.refused(bench.matrix(other))


def test_a_square_transposed_matrix_is_told_by_its_recall(bench: Bench) -> None:
    images, captions, random = vectors(0.5)
    owner = random.permutation(IMAGES)
    np.save(bench.folder / "owner.npy", owner)
    scores = cosines(images, images[owner] + 0.1 * captions[:IMAGES])
    assert bench(bench.matrix(scores))[0] > 590
    rsum, notes, _ = bench(bench.matrix(scores.T.copy()))
    assert rsum < 150
    assert "is at chance level" in notes[-1]
    assert "a transposed matrix (--transposed)" in notes[-1]


def test_distances_are_named(bench: Bench) -> None:
    images, captions, _ = vectors(2.5)
    scores = cosines(images, captions)
    for distances in (1 - scores, np.sqrt(2 - 2 * scores)):
        path = bench.matrix(distances)
        rsum, notes, _ = bench(path)
        assert rsum == pytest.approx(plain_rsum(scores, OWNER))
        assert "so these are distances, and the least is best" in notes[0]
        assert bench(path, "--score", "distance")[:2] == (rsum, [])
        taken, notes, _ = bench(path, "--score", "dot")
        assert taken == pytest.approx(plain_rsum(distances, OWNER))
        assert "chance level" in notes[0]


def test_random_scores_are_no_distances(bench: Bench) -> None:
    scores = np.random.default_rng(5).normal(size=(IMAGES, 200))
    rsum, notes, _ = bench(bench.matrix(scores))
    assert rsum == pytest.approx(plain_rsum(scores, OWNER))
    assert len(notes) == 1
    assert "none of the usual orders does better" in notes[0]


def test_equal_scores_everywhere_are_named(bench: Bench) -> None:
    rsum, notes, _ = bench(bench.matrix(np.ones((IMAGES, 200), np.float32)))
    assert rsum == 0
    assert notes[0].endswith("all scores are 1, so that every candidate ties")
    assert len(notes) == 1


def test_images_without_captions_are_counted_aloud(bench: Bench) -> None:
    images, captions, _ = vectors()
    owner = np.where(OWNER == 7, 8, OWNER)
    np.save(bench.folder / "owner.npy", owner)
    scores = cosines(images, captions)
    rsum, notes, document = bench(bench.matrix(scores))
    assert rsum == pytest.approx(plain_rsum(scores, owner))
    assert notes == ["1 of 40 images have no caption: they are no queries and stay candidates"]
    assert document["metrics"]["i2t"]["queries"] == IMAGES - 1
    assert document["metrics"]["t2i"]["candidates"] == IMAGES


@pytest.mark.parametrize("form", ["npz", "pt", "safetensors", "bfloat16"])
def test_one_matrix_in_a_file_of_any_kind(bench: Bench, form: str) -> None:
    import torch
    from safetensors.torch import save_file

    images, captions, _ = vectors(2.5)
    scores = cosines(images, captions).astype(np.float32)
    path = bench.folder / f"s.{'safetensors' if form == 'bfloat16' else form}"
    tensor = torch.from_numpy(scores)
    if form == "npz":
        np.savez(path, sims=scores)
    elif form == "pt":
        torch.save(tensor, path)
    else:
        save_file({"sims": tensor.bfloat16() if form == "bfloat16" else tensor}, path)
    expected = tensor.bfloat16().float().numpy() if form == "bfloat16" else scores
    assert bench(path)[0] == pytest.approx(plain_rsum(expected, OWNER))


def rerank(scores: np.ndarray, kept: int) -> np.ndarray:
    """As ALBEF and BLIP: the first `kept` of each row are scored, all others are -100."""
    found = np.full(scores.shape, -100, np.float32)
    first = np.argsort(-scores, axis=1)[:, :kept]
    rows = np.arange(len(scores))[:, None]
    found[rows, first] = 3 * scores[rows, first] + 0.5
    return found


def plain_ranks(scores: np.ndarray, right: list[np.ndarray]) -> list[int]:
    ranks = []
    for row, positives in zip(scores, right, strict=True):
        wrong = np.setdiff1d(np.arange(len(row)), positives)
        ranks.append(1 + int((row[wrong] >= row[positives].max()).sum()))
    return ranks


@pytest.mark.parametrize("form", ["folder", "npz"])
def test_two_matrices_one_a_direction(bench: Bench, form: str) -> None:
    images, captions, random = vectors(3.5)
    scores = cosines(images, captions)
    forth = rerank(scores + 0.05 * random.normal(size=scores.shape), 16)
    back = rerank((scores + 0.05 * random.normal(size=scores.shape)).T, 8)
    path = bench.folder / "two"
    if form == "folder":
        path.mkdir()
        np.save(path / "score_matrix_i2t.npy", forth)
        np.save(path / "score_matrix_t2i.npy", back)
    else:
        path = path.with_suffix(".npz")
        np.savez(path, i2t=forth, t2i=back)
    _, notes, document = bench(path, "--precision")
    own = [np.flatnonzero(row == OWNER) for row in range(IMAGES)]
    for way, table, right in (("i2t", forth, own), ("t2i", back, [[one] for one in OWNER])):
        ranks = np.array(plain_ranks(table, [np.array(one) for one in right]))
        found = document["metrics"][way]
        assert [found[f"R@{k}"] for k in (1, 5, 10)] == [
            pytest.approx(100 * np.mean(ranks <= k)) for k in (1, 5, 10)
        ]
        assert found["mean_rank"] == pytest.approx(ranks.mean())
        assert document["queries"][way]["queries"] == list(range(len(ranks)))
    assert sum("are -100, which rerankers write" in note for note in notes) == 2
    assert not any("distances" in note for note in notes)


def test_two_square_matrices(bench: Bench) -> None:
    """One caption an image: the second matrix has captions in rows."""
    images, captions, random = vectors(3.0)
    np.save(bench.folder / "owner.npy", np.arange(IMAGES))
    scores = cosines(images, captions[::PER_IMAGE])
    other = (scores + 0.1 * random.normal(size=scores.shape)).T
    np.savez(bench.folder / "two.npz", i2t=scores, t2i=other)
    _, _, document = bench(bench.folder / "two.npz")
    right = [np.array([row]) for row in range(IMAGES)]
    for way, table in (("i2t", scores), ("t2i", other)):
        assert document["metrics"][way]["mean_rank"] == pytest.approx(
            np.mean(plain_ranks(table, right))
        )


def test_the_first_five_captions_of_each_image(bench: Bench) -> None:
    """Karpathy's MSCOCO: some images have six or seven; rows of all, or of the first five."""
    images, captions, random = vectors(2.5)
    extra = np.array([3, 3, 11, 39])
    place = np.searchsorted(OWNER, extra, side="right")
    longer = np.insert(captions, place, random.normal(size=(4, WIDTH)), axis=0)
    owner = np.insert(OWNER, place, extra)
    np.save(bench.folder / "owner.npy", owner)
    path = bench.embeddings(unit(images), unit(longer))
    rsum, notes, document = bench(path, "--captions-per-image", "5")
    assert rsum == pytest.approx(plain_rsum(cosines(images, captions), OWNER))
    assert document["captions"] == 200
    assert "4 captions beyond the first 5 of their image were left out" in notes[0]
    assert bench(path)[0] == pytest.approx(plain_rsum(cosines(images, longer), owner))
    cut = bench.embeddings(unit(images), unit(captions))
    assert bench(cut, "--captions-per-image", "5")[0] == rsum
    matrix = bench.matrix(cosines(images, longer))
    assert bench(matrix, "--captions-per-image", "5")[0] == rsum
    copies = bench.embeddings(unit(images)[owner], unit(longer))
    assert bench(copies, "--captions-per-image", "5")[0] == rsum
