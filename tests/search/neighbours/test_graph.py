from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from made_rows import unit
from made_tables import DIM

from user_itr.search.neighbours.graph import Graph


def grown(vectors: np.ndarray) -> Graph:
    graph = Graph.empty(vectors.shape[1])
    graph.add(vectors)
    return graph


def recall(graph: Graph, vectors: np.ndarray, queries: np.ndarray) -> float:
    shared = []
    for query in queries:
        exact = set(np.argsort(-(vectors @ query))[:10].tolist())
        shared.append(len(exact & set(graph.near(query, 40).tolist())) / 10)
    return float(np.mean(shared))


def test_finds_the_nearest_and_grows_after_reading(tmp_path: Path) -> None:
    vectors, queries = unit(3_000), unit(40, seed=1)
    grown(vectors[:2_000]).save(tmp_path / "graph")
    assert recall(Graph.opened(tmp_path / "graph", DIM), vectors[:2_000], queries) > 0.95
    graph = Graph.opened(tmp_path / "graph", DIM, change=True)
    graph.add(vectors[2_000:])
    assert len(graph) == 3_000
    assert recall(graph, vectors, queries) > 0.95
    near = graph.near(vectors[2_500], 40)
    assert near[0] == 2_500
    assert len(set(near.tolist())) == 40


def test_many_threads_ask_a_mapped_file(tmp_path: Path) -> None:
    vectors = unit(1_500)
    grown(vectors).save(tmp_path / "graph")
    graph = Graph.opened(tmp_path / "graph", DIM)
    found: dict[int, int] = {}

    def ask(first: int) -> None:
        for row in range(first, 1_500, 8):
            found[row] = int(graph.near(vectors[row], 5)[0])

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.mean([found[row] == row for row in range(1_500)]) > 0.99


def test_a_way_leads_to_every_row_whatever_the_threads() -> None:
    """usearch alone leaves 9 to 107 rows out when 16 threads add 3,000."""
    out = 0
    for seed in range(3):
        graph = Graph.empty(DIM)
        graph.add(unit(3_000, seed=seed), threads=16)
        out += 3_000 - len(graph.near(unit(1, seed=99)[0], 3_000))
    assert out <= 5


def test_few_rows_make_the_same_graph_each_time() -> None:
    vectors, query = unit(140), unit(1, seed=1)[0]
    one, another = grown(vectors), grown(vectors)
    assert one.near(query, 140).tolist() == another.near(query, 140).tolist()
    assert sorted(one.near(query, 140).tolist()) == [*range(140)]


def test_each_of_many_equal_rows_stays(tmp_path: Path) -> None:
    """More equal rows than a search keeps cannot all be found by it; none gets lost."""
    vectors = np.concatenate([np.repeat(unit(1), 1_200, axis=0), unit(2_000, seed=1)])
    graph = grown(vectors)
    graph.save(tmp_path / "graph")
    opened = Graph.opened(tmp_path / "graph", DIM)
    assert len(opened) == 3_200
    assert set(opened.near(vectors[0], 128).tolist()) <= set(range(1_200))
    assert opened.near(vectors[2_000], 10)[0] == 2_000


@pytest.mark.parametrize("content", [b"", b"not a graph" * 100])
def test_another_file_is_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph").write_bytes(content)
    with pytest.raises((ValueError, OSError)):
        Graph.opened(tmp_path / "graph", DIM)


def test_a_graph_of_another_width_is_refused(tmp_path: Path) -> None:
    grown(unit(20, 16)).save(tmp_path / "graph")
    with pytest.raises(ValueError, match="32 dimensions"):
        Graph.opened(tmp_path / "graph", DIM)
