"""user-itr: image-text retrieval with the USER method (arXiv 2301.06844).

Importing this package is cheap: what a name needs is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from user_itr.model.embedder import Embedder
    from user_itr.runtime.loading import load
    from user_itr.search.index import ImageIndex

__all__ = ["Embedder", "ImageIndex", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from user_itr.runtime.loading import load

        return load
    if name == "Embedder":
        from user_itr.extras import extra_needed

        with extra_needed("Embedder"):
            from user_itr.model.embedder import Embedder
        return Embedder
    if name == "ImageIndex":
        from user_itr.search.index import ImageIndex

        return ImageIndex
    raise AttributeError(f"module 'user_itr' has no attribute {name!r}")
