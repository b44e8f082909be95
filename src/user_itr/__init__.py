"""user-itr: image-text retrieval with the USER method (arXiv 2301.06844).

Importing this package is cheap: PyTorch is imported when a name that needs it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from user_itr.model.embedder import Embedder, load
    from user_itr.search.index import ImageIndex

__all__ = ["Embedder", "ImageIndex", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in ("Embedder", "load"):
        from user_itr.model import embedder

        return getattr(embedder, name)
    if name == "ImageIndex":
        from user_itr.search.index import ImageIndex

        return ImageIndex
    raise AttributeError(f"module 'user_itr' has no attribute {name!r}")
