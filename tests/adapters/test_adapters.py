from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from user_itr import load

TEXTS = ["two dogs play in the snow", "a man rides a bicycle"]


@pytest.fixture(scope="module")
def model():
    return load()


@pytest.fixture(scope="module")
def images():
    dice = np.random.default_rng(0)
    return [Image.fromarray(dice.integers(0, 256, (40, 60, 3), dtype=np.uint8)) for _ in range(2)]


def test_langchain_embeddings_are_those_of_the_model(model, images, tmp_path):
    pytest.importorskip("langchain_core")
    from user_itr.adapters.langchain import UserItrEmbeddings

    adapter = UserItrEmbeddings(model)
    wanted = model.encode_text(TEXTS)
    np.testing.assert_array_equal(np.float32(adapter.embed_documents(TEXTS)), wanted)
    np.testing.assert_allclose(adapter.embed_query(TEXTS[1]), wanted[1], atol=1e-6)
    images[0].save(tmp_path / "a.png")
    np.testing.assert_allclose(
        adapter.embed_images([tmp_path / "a.png"]), model.encode_images(images[:1]), atol=1e-6
    )
    from langchain_core.vectorstores import InMemoryVectorStore

    store = InMemoryVectorStore.from_texts(TEXTS, adapter)
    assert store.similarity_search("puppies in winter", k=1)[0].page_content == TEXTS[0]


def test_a_pipeline_of_sentence_transformers(model, images, tmp_path):
    pytest.importorskip("sentence_transformers", minversion="6")
    from sentence_transformers import SentenceTransformer

    from user_itr.adapters.sentence_transformers import UserItrModule

    pipeline = SentenceTransformer(modules=[UserItrModule()], device="cpu")
    wanted = model.encode_text(TEXTS)
    np.testing.assert_allclose(pipeline.encode(TEXTS), wanted, atol=1e-6)
    np.testing.assert_allclose(pipeline.encode(images), model.encode_images(images), atol=1e-6)
    assert pipeline.get_embedding_dimension() == model.dim
    assert pipeline.similarity(wanted[:1], wanted[:1]).item() == pytest.approx(1)
    pipeline.save(str(tmp_path / "saved"))
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(again.encode(TEXTS), wanted, atol=1e-6)
