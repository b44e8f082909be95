"""The arithmetic of docs/how-to/billion.md, by hand, and merging the answers of shards."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from billion_plan import Plan, merged

PLAN = Plan(
    photos=4_000_000,
    width=100,
    row_bytes=100,
    shards=4,
    sub_vectors=12,
    probes=10,
    refine=3,
    results=5,
    iterations=2,
    sample=10,
    operations=1e9,
    scan=1e9,
    overhead=0.01,
    round_trip=0.1,
    node_memory=45e6,
    encoding=100,
    query_rate=2.0,
    price_storage=0.5,
    price_reads=0.001,
    price_node=2.0,
)


def test_bytes_of_a_shard() -> None:
    assert (PLAN.rows, PLAN.partitions) == (1_000_000, 1_000)
    assert PLAN.table_bytes == 1_000_000 * 500
    assert PLAN.code_bytes == 1_000_000 * 20
    assert PLAN.centroid_bytes == 4 * 100 * 1_256
    assert PLAN.index_bytes == 20_502_400
    assert PLAN.training_bytes == 10_000 * 400


def test_operations_requests_and_times() -> None:
    lists = 2 * 10_000 * 1_000 + 1_000_000 * 1_000
    codes = 2 * 2_560 * 256 + 1_000_000 * 256
    assert PLAN.build_operations == 200 * (lists + codes)
    assert PLAN.build_seconds == pytest.approx(200 * (lists + codes) / 1e9)
    assert PLAN.scanned_bytes == 400_000 + 0.01 * 20_000_000
    assert (PLAN.refined_rows, PLAN.reads) == (15, 35)
    assert PLAN.shard_seconds == pytest.approx(0.01 + 0.0006 + 0.3)


def test_nodes_and_costs() -> None:
    assert PLAN.nodes == 2  # two indexes of 20.5 MB fit in 45 MB
    assert PLAN.query_seconds == pytest.approx(2 * 0.0106 + 0.3)
    assert PLAN.encode_hours == pytest.approx(4e6 / 200 / 3600)
    assert PLAN.monthly["storage"] == pytest.approx(4 * (0.5 + 0.0205024) * 0.5)
    assert PLAN.monthly["reads"] == pytest.approx(2 * 730 * 3600 * 4 * 35 / 1000 * 0.001)
    assert PLAN.monthly["nodes"] == 2 * 730 * 2.0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 200),
    shards=st.integers(1, 9),
    k=st.integers(1, 30),
)
def test_merged_shards_answer_as_one_table(seed: int, rows: int, shards: int, k: int) -> None:
    dice = np.random.default_rng(seed)
    distances = np.round(dice.normal(size=rows), 1)  # with ties
    owner = dice.integers(0, shards, rows)

    def nearest(chosen: np.ndarray) -> list[tuple[float, str]]:
        pairs = [(float(distances[row]), f"{row:03}") for row in chosen]
        return sorted(pairs)[:k]

    parts = [nearest(np.flatnonzero(owner == shard)) for shard in range(shards)]
    assert merged(parts, k) == nearest(np.arange(rows))
