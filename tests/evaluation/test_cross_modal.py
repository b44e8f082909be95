from __future__ import annotations

import numpy as np
import pytest

from user_itr.evaluation.cross_modal import cross_modal_ranks
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.metrics import evaluate_embeddings, recall_at_k
from user_itr.evaluation.relevance import Relevance


def test_against_sorting_with_captions_in_any_order() -> None:
    random = np.random.default_rng(0)
    images, captions = random.normal(size=(7, 5)), random.normal(size=(19, 5))
    owner = random.choice([0, 1, 2, 4, 5, 6], 19)  # image 3 has no caption
    owner[:6] = [6, 5, 4, 2, 1, 0]
    scores = images @ captions.T
    found = cross_modal_ranks(
        EmbeddingScores(images, captions), Relevance.from_caption_image(owner, 7)
    )
    assert found.i2t.queries.tolist() == [0, 1, 2, 4, 5, 6]
    i2t, t2i = found.i2t.ranks(), found.t2i.ranks()
    for image, rank in zip([0, 1, 2, 4, 5, 6], i2t, strict=True):
        order = np.argsort(-scores[image])
        assert rank == 1 + sum(owner[c] != image for c in order[: list(owner[order]).index(image)])
    for caption, rank in enumerate(t2i):
        order = np.argsort(-scores[:, caption])
        assert rank == 1 + list(order).index(owner[caption])
    metrics = evaluate_embeddings(images, captions, owner)
    for k in (1, 5, 10):
        assert recall_at_k(i2t, k) == pytest.approx(metrics.i2t.recall[k])
        assert recall_at_k(t2i, k) == pytest.approx(metrics.t2i.recall[k])
