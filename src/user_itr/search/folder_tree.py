"""The folders of an index as a tree, with the photos in and below each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from user_itr.search.names import has_words, words_of


@dataclass(frozen=True, slots=True)
class FolderNode:
    """A folder that was indexed, or one below it.

    Attributes:
        path: absolute.
        depth: 0 for a folder that was indexed, and lies below no other.
        photos: in it and in all folders below it.
    """

    path: Path
    depth: int
    photos: int


def folder_tree(roots: Iterable[Path], folders: Mapping[str, int]) -> list[FolderNode]:
    """All folders with photos in or below them, each before those below it, by name.

    Args:
        roots: what was indexed: folders, and photos that were named one by one.
        folders: those that hold photos directly, with the number of them.
    """
    indexed, counts = set(roots), dict[Path, int]()
    tops: dict[Path, Path] = {}
    for folder, photos in folders.items():
        path = Path(folder)
        above = [path, *path.parents]
        top = max((number for number, one in enumerate(above) if one in indexed), default=0)
        for one in above[: top + 1]:
            counts[one] = counts.get(one, 0) + photos
            tops[one] = above[top]
    return [
        FolderNode(path, len(path.parts) - len(tops[path].parts), counts[path])
        for path in sorted(counts, key=lambda path: (tops[path].parts, path.parts))
    ]


def named_folders(nodes: Iterable[FolderNode], words: str) -> list[FolderNode]:
    """Folders that have all of the words in their path, and one of them in their own name.

    A word finds those that begin with it; case and accents do not matter.
    """
    asked = words_of(words)
    return [
        node
        for node in nodes
        if has_words(str(node.path), asked)
        and any(has_words(node.path.name, [word]) for word in asked)
    ]
