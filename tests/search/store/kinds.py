"""The kinds of stores that the tests run on."""

from __future__ import annotations

from dataclasses import dataclass

from user_itr.search.location import Folder, Location
from user_itr.search.store.base import PhotoStore


@dataclass(frozen=True)
class Kind:
    """A kind of store and a place for it; `dim` numbers an embedding."""

    name: str
    location: Location
    dim: int = 8

    @property
    def half(self) -> bool:
        """Whether it keeps float16."""
        return self.name == "sqlite"

    def open(self, *, create: bool = False, generation: int = 1) -> PhotoStore:
        """A store of its own, as another process opens it."""
        if self.name == "sqlite":
            from user_itr.search.store.sqlite import SqliteStore

            assert isinstance(self.location, Folder)
            return SqliteStore(self.location, generation, self.dim, create=create)
        from user_itr.search.store.lance import LanceStore

        names = f"photos-{generation}", f"sentences-{generation}"
        return LanceStore(self.location, *names, self.dim, create=create)
