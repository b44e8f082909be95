from __future__ import annotations

from pathlib import Path

from user_itr.search.folder_tree import FolderNode, folder_tree, named_folders

FOLDERS = {
    "/p/Italy": 2,
    "/p/Italy/2019 Rom": 3,
    "/p/Italy/2019 Rom/raw": 4,
    "/p/Spain/2019": 5,
    "/p/Italy-2": 1,
    "/q": 6,
    "/single": 1,
}
ROOTS = [Path("/p"), Path("/p/Italy"), Path("/q"), Path("/single/photo.jpg")]


def test_counts_go_up_to_the_topmost_folder_that_was_indexed() -> None:
    told = [(str(one.path), one.depth, one.photos) for one in folder_tree(ROOTS, FOLDERS)]
    assert told == [
        ("/p", 0, 15),
        ("/p/Italy", 1, 9),
        ("/p/Italy/2019 Rom", 2, 7),
        ("/p/Italy/2019 Rom/raw", 3, 4),
        ("/p/Italy-2", 1, 1),
        ("/p/Spain", 1, 5),
        ("/p/Spain/2019", 2, 5),
        ("/q", 0, 6),
        ("/single", 0, 1),
    ]
    assert folder_tree([], {}) == []
    assert folder_tree([Path("/")], {"/": 1, "/a": 2}) == [
        FolderNode(Path("/"), 0, 3),
        FolderNode(Path("/a"), 1, 2),
    ]


def test_words_of_the_path_find_a_folder_that_has_one_of_them_itself() -> None:
    nodes = folder_tree(ROOTS, FOLDERS)

    def found(words: str) -> list[str]:
        return [str(one.path) for one in named_folders(nodes, words)]

    assert found("italy") == ["/p/Italy", "/p/Italy-2"]
    assert found("ITÁLY 2019") == ["/p/Italy/2019 Rom"]
    assert found("2019") == ["/p/Italy/2019 Rom", "/p/Spain/2019"]
    assert found("ro") == ["/p/Italy/2019 Rom"]
    assert found("om") == found("italy paris") == []
