"""What an index of very many photos takes, from its parameters; docs/how-to/billion.md explains it.

Nothing is measured here: bytes, operations and requests are counted, and times follow from rates
that `billion.py check` measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FLOAT = 4
ROW_ID = 8
CODES = 256
"""Entries of a codebook of 8 bits."""


@dataclass(frozen=True)
class Plan:
    """One table a shard, each with an IVF-PQ index.

    Args:
        photos: N, in all shards.
        width: D, of an embedding.
        row_bytes: of a row beside its embedding: path, hash, dates.
        shards: S.
        lists: P, of a shard; 0 takes the root of its rows.
        sub_vectors: m, bytes of a code.
        probes: p, lists that a query looks into, a shard.
        refine: r, candidates a result that are scored exactly.
        results: k.
        iterations: of k-means.
        sample: vectors a list that k-means trains on.
        operations: a second that building achieves on a node.
        scan: bytes a second at which a node reads centroids and codes.
        overhead: seconds of a query on a shard that do not depend on its size.
        round_trip: seconds of one request to the object store.
        node_memory: bytes for the index on a node.
        encoding: photos a second that a node encodes.
        query_rate: queries a second, in all.
        price_storage: of a GB (1e9 bytes) and month.
        price_reads: of 1,000 GET requests.
        price_node: of a node and hour.
    """

    photos: int = 1_000_000_000
    width: int = 512
    row_bytes: int = 100
    shards: int = 20
    lists: int = 0
    sub_vectors: int = 32
    probes: int = 40
    refine: int = 20
    results: int = 10
    iterations: int = 50
    sample: int = 256
    operations: float = 50e9
    scan: float = 1e9
    overhead: float = 0.01
    round_trip: float = 0.03
    node_memory: float = 48e9
    encoding: float = 50.0
    query_rate: float = 1.0
    price_storage: float = 0.02
    price_reads: float = 0.0004
    price_node: float = 0.5

    @property
    def rows(self) -> int:
        """Of a shard: n = N / S."""
        return math.ceil(self.photos / self.shards)

    @property
    def partitions(self) -> int:
        """P: as asked for, or the root of the rows; LanceDB makes one for 256 rows at most."""
        return max(1, min(self.lists or round(math.sqrt(self.rows)), self.rows // self.sample))

    @property
    def table_bytes(self) -> int:
        """Of a shard's rows: n (4 D + R)."""
        return self.rows * (FLOAT * self.width + self.row_bytes)

    @property
    def code_bytes(self) -> int:
        """Of a shard's codes with the numbers of their rows: n (m + 8)."""
        return self.rows * (self.sub_vectors + ROW_ID)

    @property
    def centroid_bytes(self) -> int:
        """Of a shard's centroids and its codebook: 4 D (P + 256)."""
        return FLOAT * self.width * (self.partitions + CODES)

    @property
    def index_bytes(self) -> int:
        """Of a shard's index."""
        return self.code_bytes + self.centroid_bytes

    @property
    def training_bytes(self) -> int:
        """Of the rows that a shard's k-means holds in memory: min(n, sample P) 4 D."""
        return min(self.rows, self.sample * self.partitions) * FLOAT * self.width

    @property
    def build_operations(self) -> int:
        """To index a shard: k-means on min(n, sample P) rows, each row's list, each row's code.

        2 D (iterations min(n, sample P) P + n P + n 256), and the codebook's k-means on
        sample 256 rows: 2 D iterations sample 256 256.
        """
        trained = min(self.rows, self.sample * self.partitions)
        codebook = min(self.rows, self.sample * CODES)
        products = (
            self.iterations * (trained * self.partitions + codebook * CODES)
            + self.rows * self.partitions
            + self.rows * CODES
        )
        return 2 * self.width * products

    @property
    def build_seconds(self) -> float:
        """To index a shard on a node."""
        return self.build_operations / self.operations

    @property
    def scanned_bytes(self) -> float:
        """That a query reads of a shard's index: 4 D P + (p / P) n (m + 8)."""
        share = min(1.0, self.probes / self.partitions)
        return FLOAT * self.width * self.partitions + share * self.code_bytes

    @property
    def refined_rows(self) -> int:
        """Whose embeddings a query reads from a shard: r k."""
        return min(self.rows, self.refine * self.results)

    @property
    def reads(self) -> int:
        """GET requests of a query on a shard whose index is in memory, at most.

        One for each embedding, and one for each of four columns of each result, where no two share
        a page.
        """
        return self.refined_rows + 4 * self.results

    @property
    def shard_seconds(self) -> float:
        """Of a query on a shard in the object store: listing, embeddings, columns, in turn."""
        return self.overhead + self.scanned_bytes / self.scan + 3 * self.round_trip

    @property
    def nodes(self) -> int:
        """That hold the indexes of all shards in memory, whole shards each."""
        a_node = max(1, int(self.node_memory // self.index_bytes))
        return math.ceil(self.shards / a_node)

    @property
    def query_seconds(self) -> float:
        """Of a query on all shards: requests of all at once, a node's scans in turn."""
        scans = self.overhead + self.scanned_bytes / self.scan
        return math.ceil(self.shards / self.nodes) * scans + 3 * self.round_trip

    @property
    def encode_hours(self) -> float:
        """Of all nodes together, to encode the photos."""
        return self.photos / self.encoding / self.nodes / 3600

    @property
    def monthly(self) -> dict[str, float]:
        """Costs of a month of 730 hours: storage, requests, nodes."""
        seconds = 730 * 3600
        stored = self.shards * (self.table_bytes + self.index_bytes) / 1e9
        reads = self.query_rate * seconds * self.shards * self.reads
        return {
            "storage": stored * self.price_storage,
            "reads": reads / 1000 * self.price_reads,
            "nodes": self.nodes * 730 * self.price_node,
        }


def merged(answers: list[list[tuple[float, str]]], k: int) -> list[tuple[float, str]]:
    """The k nearest of all shards from the k nearest of each: (distance, id), nearest first.

    Exact, because one of the k nearest of all is among the k nearest of its own shard.
    """
    return sorted(pair for answer in answers for pair in answer)[:k]
