from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from user_itr.data.captions import CaptionedImages
from user_itr.errors import ConfigError, DataError
from user_itr.evaluation.cross_modal import cross_modal_ranks
from user_itr.evaluation.document import evaluation_document
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.evaluating import Request, evaluate_sources
from user_itr.evaluation.metrics import CrossModalMetrics
from user_itr.evaluation.normalised import NormalisedScores
from user_itr.evaluation.protocols.cxc import cxc_metrics
from user_itr.evaluation.protocols.plausible import plausible_match_metrics, read_object_labels
from user_itr.evaluation.relevance import Relevance
from user_itr.evaluation.result import ScoredBy
from user_itr.evaluation.scores import mean_scores
from user_itr.evaluation.sources import Source, embeddings_source
from user_itr.evaluation.tables import further_tables

sys.path.append(str(Path(__file__).parent / "protocols"))
from test_cxc import Split


@pytest.fixture
def rated(tmp_path):
    return Split(tmp_path)


@pytest.fixture
def items(rated):
    return CaptionedImages(
        "coco",
        "test",
        tuple(map(str, rated.coco_ids)),
        tuple(f"caption {number}" for number in rated.caption_ids),
        rated.caption_image,
        caption_ids=rated.caption_ids,
        coco_ids=rated.coco_ids,
    )


@pytest.fixture
def vectors(items):
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(12, 6)), rng.normal(size=(len(items.captions), 6))) for _ in "ab"]


@pytest.fixture
def sources(vectors):
    return [
        embeddings_source(name, "embeddings", *pair, sha256=name)
        for name, pair in zip("ab", vectors, strict=True)
    ]


def test_protocols_of_an_ensemble_score_its_mean(rated, items, vectors, sources, tmp_path):
    request = Request(cxc=tmp_path, precision=True)
    request.prepare(items, 2)
    found = evaluate_sources(sources, items, request)

    def mean(*sides):
        return mean_scores([EmbeddingScores(p[sides[0]], p[sides[1]]) for p in vectors])

    expected = cxc_metrics(rated.read(), mean(0, 1), mean(1, 1), mean(0, 0))
    assert found.protocols["cxc"] == expected.to_dict()
    precision = found.protocols["precision"]
    # One right image a caption: precision over all of them is whether it comes first.
    assert precision["t2i"]["mAP@R"] == pytest.approx(found.metrics.t2i.recall[1])
    assert precision["t2i"]["R-Precision"] == pytest.approx(found.metrics.t2i.recall[1])
    assert precision["i2t"]["positives"] == len(items.captions)


def test_normalised_scores_are_reported_apart(items, vectors, sources):
    found = evaluate_sources(sources[:1], items, Request(normalise=20.0))
    plain = evaluate_sources(sources[:1], items, Request())
    assert found.metrics == plain.metrics
    assert plain.protocols == {}
    relevance = Relevance.from_caption_image(items.caption_image, len(items.image_ids))
    ranks = cross_modal_ranks(NormalisedScores(EmbeddingScores(*vectors[0]), 20.0), relevance)
    document = found.protocols["normalised"]
    assert document == {"sharpness": 20.0, **CrossModalMetrics.of(ranks).to_dict()}
    [table] = further_tables(found)
    assert table.title == "Normalised over all queries"
    assert f"rsum {document['rsum']:.1f}. Transductive" in table.note
    assert json.loads(json.dumps(evaluation_document(found)))["protocols"]["normalised"] == document


def test_plausible_matches_from_an_instances_file(items, vectors, sources, tmp_path):
    file = tmp_path / "instances.json"
    rng = np.random.default_rng(2)
    entries = [
        {"image_id": int(rng.choice(items.coco_ids)), "category_id": int(rng.integers(4))}
        for _ in range(30)
    ]
    file.write_text(json.dumps({"annotations": entries}))
    request = Request(pmrp=file)
    request.prepare(items, 1)
    found = evaluate_sources(sources[:1], items, request)
    labels = read_object_labels(file, items.coco_ids)
    expected = plausible_match_metrics(EmbeddingScores(*vectors[0]), items.caption_image, labels)
    assert found.protocols["pmrp"] == expected.to_dict()


def test_a_similarity_matrix_has_no_image_to_image_direction(items, vectors, sources, tmp_path):
    alone = Source(ScoredBy("m", "similarity", ""), sources[0].scores)
    found = evaluate_sources([alone], items, Request(cxc=tmp_path))
    assert set(found.protocols["cxc"]) == {"i2t", "t2i", "sits", "i2i_pairs"}


@pytest.mark.parametrize(
    ("request_", "models", "error", "message"),
    [
        (Request(precision=True, ties="expected"), 1, ConfigError, "no expected place"),
        (Request(precision=True, fusion="rank"), 2, ConfigError, "no scores for mAP@R"),
        (Request(pmrp=Path("nowhere.json")), 1, DataError, "nowhere.json: no such file"),
        (Request(cxc=Path("nowhere")), 1, DataError, "nowhere: no sits_val.csv"),
        (Request(normalise=20.0, fusion="rank"), 2, ConfigError, "no scores for normalised"),
        (Request(normalise=0.0), 1, ConfigError, "sharpness of normalised scores is 0"),
        (Request(folds=5), 1, ConfigError, "12 images do not fall into 5"),
    ],
)
def test_known_to_be_wrong_before_anything_is_embedded(items, request_, models, error, message):
    with pytest.raises(error, match=message):
        request_.prepare(items, models)
