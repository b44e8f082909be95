"""A folder of embeddings in shards: its manifest, and reading it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from user_itr.errors import CollectionError
from user_itr.files import parse_json

FORMAT_VERSION = 1
MANIFEST, SHARDS = "manifest.json", "shards"
EMBEDDING = "embedding"

ShardFormat: TypeAlias = Literal["parquet", "lance"]
Dtype: TypeAlias = Literal["float32", "float16"]


class Shard(BaseModel):
    """A finished shard.

    Attributes:
        name: of the Parquet file, or of the Lance data set, in the folder `shards`.
        rows: images in it.
        sha256: of its contents, whatever the format; see `hash_rows`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[0-9]{5,}\.(parquet|lance)$")
    rows: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class CollectionManifest(BaseModel):
    """What a folder of embeddings holds, and the request that it answers.

    Attributes:
        model: the checkpoint as it was named.
        fingerprint: of the model; embeddings of equal fingerprints may be compared.
        description: of the model, one line for people.
        dim: width D.
        sources: folders and tars, absolute.
        batch_size: images that the model encoded at once.
        shard_rows: images planned a shard.
        planned: shards in all; 0 before the images are listed.
        skipped: entries of skipped.jsonl.
        shards: the finished ones, in order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    model: str
    fingerprint: str
    description: str
    dim: int = Field(gt=0)
    dtype: Dtype
    format: ShardFormat
    sources: tuple[str, ...]
    batch_size: int = Field(gt=0)
    shard_rows: int = Field(gt=0)
    planned: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)
    shards: tuple[Shard, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return 0 < self.planned == len(self.shards)

    @property
    def rows(self) -> int:
        """Rows of the finished shards."""
        return sum(shard.rows for shard in self.shards)


def read_manifest(folder: Path) -> CollectionManifest:
    """The manifest of a folder of embeddings.

    Raises:
        CollectionError: if there is none, or it is damaged or of a newer format.
    """
    file = folder / MANIFEST
    try:
        content = parse_json(file.read_bytes())
    except FileNotFoundError:
        raise CollectionError(
            f"{folder}: holds no embeddings; make some with `user-itr encode SOURCE --out FOLDER`."
        ) from None
    except (OSError, ValueError) as error:
        raise CollectionError(
            f"{file}: cannot be read ({error}); encode into another folder."
        ) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CollectionError(
            f"{file}: has format version {version}, and this user-itr reads up to "
            f"{FORMAT_VERSION}; upgrade user-itr."
        )
    try:
        return CollectionManifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "it"
        raise CollectionError(
            f"{file}: {field}: {first['msg']}; it is damaged or not ours, so encode into another "
            "folder."
        ) from error


class EmbeddingCollection:
    """Embeddings that `user-itr encode` finished, in the order of the plan.

    Rows have the columns `source` (folder or tar), `key` (path below the folder, or WebDataset's
    `__key__`), `caption` (null where there is none), `hash` (of the file; see `content_hash`),
    `width` and `height` (pixels of the upright image) and `embedding` (D float32 or float16,
    unit-norm).

    Example:
        >>> vectors = EmbeddingCollection("out").embeddings()     # doctest: +SKIP
        >>> scores = load().encode_text(["a dog"]) @ vectors.T    # doctest: +SKIP

    Args:
        folder: what was given as `--out`.

    Attributes:
        manifest: what it holds, and of which model.

    Raises:
        CollectionError: if it is not finished, or cannot be read; also in every method.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if not self.manifest.complete:
            raise CollectionError(
                f"{self.folder}: only {len(self.manifest.shards)} of {self.manifest.planned} "
                "shards are finished; run the same `user-itr encode` again, it continues."
            )

    def __len__(self) -> int:
        return self.manifest.rows

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows, one table a shard; all columns by default."""
        for shard in self.manifest.shards:
            table = read_shard(self.folder / SHARDS / shard.name, columns)
            if table.num_rows != shard.rows:
                raise CollectionError(
                    f"{self.folder / SHARDS / shard.name}: has {table.num_rows} rows and the "
                    f"manifest says {shard.rows}; encode again with --overwrite."
                )
            yield table

    def embeddings(self) -> np.ndarray:
        """All embeddings: (N, D) float32 or float16, in memory."""
        vectors = np.empty((len(self), self.manifest.dim), self.manifest.dtype)
        start = 0
        for table in self.tables([EMBEDDING]):
            vectors[start : start + table.num_rows] = vectors_of(table)
            start += table.num_rows
        return vectors

    def verify(self) -> None:
        """Read everything, and compare it with the hashes that the manifest has.

        Raises:
            CollectionError: naming the first shard that differs.
        """
        for shard, table in zip(self.manifest.shards, self.tables(), strict=True):
            if hash_rows(table) != shard.sha256:
                raise CollectionError(
                    f"{self.folder / SHARDS / shard.name}: its contents are not those that were "
                    "written; encode again with --overwrite."
                )


def row_schema(dim: int, dtype: Dtype) -> pa.Schema:
    """The columns of every shard."""
    return pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("key", pa.string(), nullable=False),
            pa.field("caption", pa.string()),
            pa.field("hash", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field(EMBEDDING, pa.list_(pa.type_for_alias(dtype), dim), nullable=False),
        ]
    )


def read_shard(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a shard in either format.

    Raises:
        CollectionError: if it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path, columns=None if columns is None else list(columns))
        import lancedb

        table = lancedb.connect(path.parent).open_table(path.stem)
        query = table.search()
        return (query if columns is None else query.select(list(columns))).to_arrow()
    except (OSError, RuntimeError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CollectionError(
            f"{path}: cannot be read ({reason}); encode again with --overwrite."
        ) from error


def vectors_of(table: pa.Table) -> np.ndarray:
    """The embeddings of rows: (N, D) float32 or float16."""
    dim = table.schema.field(EMBEDDING).type.list_size
    column = table[EMBEDDING].combine_chunks()
    flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, dim)


def hash_rows(table: pa.Table) -> str:
    """SHA-256 of rows, the same in every format: 64 hex digits.

    Of the JSON list of the values of each column, in the order of the schema and embeddings aside,
    then of the little-endian bytes of the embeddings.
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        if name != EMBEDDING:
            digest.update(json.dumps(table[name].to_pylist()).encode())
    vectors = vectors_of(table)
    digest.update(np.ascontiguousarray(vectors, vectors.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
