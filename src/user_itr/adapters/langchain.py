"""A model as LangChain's embeddings: `UserItrEmbeddings(load())`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from user_itr.errors import MissingExtraError

if TYPE_CHECKING:
    from user_itr.model.embedder import Embedder
    from user_itr.runtime.encoder import OnnxEncoder

try:
    from langchain_core.embeddings import Embeddings
except ImportError:
    raise MissingExtraError(
        "LangChain's embeddings need langchain-core; run `pip install user-itr[langchain]`."
    ) from None


class UserItrEmbeddings(Embeddings):
    """Sentences and images as lists of floats in one space, unit-norm.

    Args:
        model: what `user_itr.load()` gives.
    """

    def __init__(self, model: Embedder | OnnxEncoder) -> None:
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed sentences."""
        return [[float(value) for value in row] for row in self.model.encode_text(texts)]

    def embed_query(self, text: str) -> list[float]:
        """Embed one sentence."""
        return self.embed_documents([text])[0]

    def embed_images(self, paths: Sequence[str | Path]) -> list[list[float]]:
        """Embed image files; the name is that of LangChain's other image embeddings.

        Raises:
            DataError: if one cannot be decoded.
        """
        return [[float(value) for value in row] for row in self.model.encode_images(paths)]
