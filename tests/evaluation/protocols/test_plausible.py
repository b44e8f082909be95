from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.positive_ranks import positive_ranks
from user_itr.evaluation.precision import Placement, r_precision
from user_itr.evaluation.protocols import plausible
from user_itr.evaluation.protocols.plausible import (
    label_distances,
    plausible_match_metrics,
    plausible_matches,
    read_object_labels,
)
from user_itr.evaluation.scores import MatrixScores


def plain_pmrp(scores, caption_image, labels, zeta, ties, captions_are_queries):
    """Mean R-Precision by sorting every query's list, as in the definition."""
    images = [i for i in range(len(labels)) if labels[i].any()]
    captions = [c for c in range(len(caption_image)) if labels[caption_image[c]].any()]
    sides = (captions, images) if captions_are_queries else (images, captions)

    def image_of(item, is_caption):
        return caption_image[item] if is_caption else item

    found = []
    for query in sides[0]:
        ranked = []
        for candidate in sides[1]:
            pair = (candidate, query) if captions_are_queries else (query, candidate)
            a = labels[image_of(query, captions_are_queries)]
            b = labels[image_of(candidate, not captions_are_queries)]
            match = sum(x != y for x, y in zip(a, b, strict=True)) <= zeta
            ranked.append((-scores[pair], match if ties == "pessimistic" else not match, match))
        matches = [match for _, _, match in sorted(ranked)]
        if any(matches):
            found.append(sum(matches[: sum(matches)]) / sum(matches))
    return 100 * sum(found) / len(found)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 100_000),
    st.sampled_from([None, 1, 3]),
    st.sampled_from(["pessimistic", "optimistic"]),
)
def test_against_sorted_lists(seed, levels, ties):
    random = np.random.default_rng(seed)
    images, captions = int(random.integers(1, 9)), int(random.integers(1, 15))
    scores = random.normal(size=(images, captions))
    if levels:
        scores = random.integers(0, levels, scores.shape) - 1.0
    caption_image = random.integers(0, images, captions)
    labels = random.random((images, 5)) < 0.3
    labels[caption_image[0], 0] = True
    found = plausible_match_metrics(MatrixScores(scores), caption_image, labels, ties=ties)
    for zeta in (0, 1, 2):
        case = (scores, caption_image, labels, zeta, ties)
        assert found.i2t[zeta] == pytest.approx(plain_pmrp(*case, False), abs=1e-9)
        assert found.t2i[zeta] == pytest.approx(plain_pmrp(*case, True), abs=1e-9)
    assert found.pmrp("i2t") == pytest.approx(np.mean(list(found.i2t.values())))
    assert found.to_dict()["t2i"]["PMRP"] == found.pmrp("t2i")
    assert found.images == labels.any(axis=1).sum()
    assert found.captions == labels.any(axis=1)[caption_image].sum()


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
def test_against_ranks_of_all_positives_in_small_blocks(ties, monkeypatch):
    """Embeddings with many equal rows: the float32 tile cannot order them, exact scores do."""
    monkeypatch.setattr(plausible, "_BLOCK_SCORES", 150)
    random = np.random.default_rng(3)
    rows = random.normal(size=(6, 24))
    caption_image = random.integers(0, 30, 70)
    captions = (rows[random.integers(0, 6, 70)] + 1e-8).astype(np.float32)
    scores = EmbeddingScores(rows[random.integers(0, 6, 30)].astype(np.float32), captions)
    labels = random.random((30, 4)) < 0.5
    labels[:, 0] |= ~labels.any(axis=1)
    found = plausible_match_metrics(scores, caption_image, labels, (0, 1), ties=ties)
    for zeta in (0, 1):
        matches = plausible_matches(labels, labels[caption_image], zeta)
        for side, one, relevance in (
            ("i2t", scores, matches),
            ("t2i", scores.transpose(), matches.transpose()),
        ):
            placement = Placement.of(positive_ranks(one, relevance), ties)
            assert getattr(found, side)[zeta] == pytest.approx(100 * r_precision(placement).mean())


def test_distances_and_matches(monkeypatch):
    monkeypatch.setattr(plausible, "_BLOCK_SCORES", 20)
    random = np.random.default_rng(0)
    queries, candidates = random.random((9, 90)) < 0.1, random.random((7, 90)) < 0.1
    expected = (queries[:, None] != candidates[None]).sum(axis=2)
    np.testing.assert_array_equal(label_distances(queries, candidates), expected)
    zeta = int(np.median(expected))
    matches = plausible_matches(queries, candidates, zeta)
    for query in range(9):
        assert matches.of(query).tolist() == np.flatnonzero(expected[query] <= zeta).tolist()


def test_reads_object_labels(tmp_path):
    file = tmp_path / "instances_val2014.json"
    pairs = [(7, 18), (9, 1), (7, 90), (7, 18), (5, 44)]
    annotations = [{"image_id": image, "category_id": name} for image, name in pairs]
    file.write_text(json.dumps({"annotations": annotations}))
    labels = read_object_labels(file, (9, 8, 7))
    np.testing.assert_array_equal(labels, [[1, 0, 0], [0, 0, 0], [0, 1, 1]])
    file.write_text(json.dumps({"annotations": [{"image_id": 7}]}))
    with pytest.raises(DataError, match=r"annotations\[0\]: image_id 7 and category_id None"):
        read_object_labels(file, (7,))
    file.write_text("{}")
    with pytest.raises(DataError, match="no list `annotations`"):
        read_object_labels(file, (7,))


def test_what_does_not_fit_is_refused():
    scores, owner = MatrixScores(np.zeros((2, 3))), np.array([0, 1, 1])
    labels = np.ones((2, 4), bool)
    with pytest.raises(DataError, match="do not fit"):
        plausible_match_metrics(scores, owner, labels[:1])
    with pytest.raises(DataError, match="no image with a caption has a label"):
        plausible_match_metrics(scores, owner, ~labels)
    with pytest.raises(ConfigError, match=r"zetas is \[-1\]"):
        plausible_match_metrics(scores, owner, labels, (-1,))
    with pytest.raises(ConfigError, match="takes pessimistic or optimistic"):
        plausible_match_metrics(scores, owner, labels, ties="expected")
