"""A shard of the plan to a shard of embeddings: what every engine runs, wherever it runs."""

from __future__ import annotations

import itertools
import os
import shutil
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from user_itr.bulk.collection import (
    EMBEDDING,
    SHARDS,
    Dtype,
    Shard,
    ShardFormat,
    hash_rows,
    row_schema,
)
from user_itr.bulk.plan import Item, Plan
from user_itr.errors import CollectionError
from user_itr.search.decoding import decode_ahead
from user_itr.search.encoder import Encoder
from user_itr.search.photos import Photo, path_of

PLAN, PARTIAL = "plan.parquet", ".partial"


@dataclass(frozen=True)
class Job:
    """What all workers of one encoding must know.

    Attributes:
        out: the folder, where every worker finds it.
        format: of the shards.
        dtype: of the embeddings.
        fingerprint: of the model.
        batch_size: images encoded at once; batches never cross shards.
        workers: processes beside each encoder that decode.
    """

    out: Path
    format: ShardFormat
    dtype: Dtype
    fingerprint: str
    batch_size: int
    workers: int

    def shard_name(self, number: int) -> str:
        """File name of a shard."""
        return f"{number:05d}.{self.format}"


class ShardRecord(BaseModel):
    """A shard that was written, and what it left out.

    Attributes:
        number: in the plan, from 0.
        shard: as the manifest lists it.
        skipped: paths and reasons.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    shard: Shard
    skipped: tuple[tuple[str, str], ...] = ()


def encode_shards(
    encoder: Encoder,
    job: Job,
    numbers: Sequence[int],
    advance: Callable[[int], None] | None = None,
) -> Generator[ShardRecord, None, None]:
    """Encode shards of the plan and write each whole under its final name.

    A shard's rows are the same to the bit whenever the same model encodes it with the same number
    of threads on the same kind of processor: its batches are cut at fixed places, and an image
    that cannot be decoded leaves a gap in its batch.

    Args:
        encoder: the model.
        job: the request.
        numbers: which shards, in this order; only the plan's last may come last.
        advance: called with the number of images done, after each batch.

    Yields:
        For each shard, once its file is in place, its record.

    Raises:
        CollectionError: if a shard cannot be written, or the model gives values that cannot be
            kept.
    """
    plan = Plan(job.out / PLAN)
    read: deque[list[Item]] = deque()

    def flow() -> Iterator[Item]:
        for number in numbers:
            read.append(plan.shard(number))
            yield from read[-1]

    photos = (item.photo for item in flow())
    batches = decode_ahead(photos, encoder, job.batch_size, job.workers, processes=True)
    schema = row_schema(encoder.dim, job.dtype)
    with closing(batches):
        for number in numbers:
            tables = [schema.empty_table()]
            left_out: list[tuple[str, str]] = []
            for decoded, skipped in itertools.islice(
                batches, -(-plan.shard_items(number) // job.batch_size)
            ):
                items = read[0]
                place = len(left_out) + sum(table.num_rows for table in tables)
                batch = {
                    path_of(item.photo): item for item in items[place : place + job.batch_size]
                }
                left_out += [(str(path), reason) for path, reason in skipped]
                if decoded:
                    tables.append(_rows(encoder, decoded, batch, schema))
                if advance is not None:
                    advance(len(batch))
            read.popleft()
            rows = pa.concat_tables(tables).combine_chunks()
            _write(job, number, rows)
            shard = Shard(name=job.shard_name(number), rows=rows.num_rows, sha256=hash_rows(rows))
            yield ShardRecord(number=number, shard=shard, skipped=tuple(left_out))


def _rows(
    encoder: Encoder, photos: Sequence[Photo], batch: dict[Path, Item], schema: pa.Schema
) -> pa.Table:
    """One batch as rows, in the order of the plan."""
    by_path = {photo.path: photo for photo in photos}  # a crashed decoder may change their order
    found = [(item, by_path[path]) for path, item in batch.items() if path in by_path]
    embeddings = encoder.encode_pixels(np.stack([photo.pixels for _, photo in found]))
    if embeddings.shape != (len(found), encoder.dim) or not np.isfinite(embeddings).all():
        raise CollectionError(
            f"{found[0][1].path}: the model ({encoder.description}) gave embeddings of shape "
            f"{embeddings.shape} for this batch, or values that are not finite; use another "
            "checkpoint."
        )
    kind = schema.field(EMBEDDING).type
    flat = pa.array(embeddings.astype(kind.value_type.to_pandas_dtype()).ravel())
    columns = {
        "source": [item.source for item, _ in found],
        "key": [item.key for item, _ in found],
        "caption": [item.caption for item, _ in found],
        "hash": [photo.contents.hash for _, photo in found],
        "width": [photo.width for _, photo in found],
        "height": [photo.height for _, photo in found],
        EMBEDDING: pa.FixedSizeListArray.from_arrays(flat, kind.list_size),
    }
    return pa.table(columns, schema)


def _write(job: Job, number: int, rows: pa.Table) -> None:
    """Put a shard in place whole; one of the same number, from a worker that died, makes way."""
    name = job.shard_name(number)
    own = job.out / PARTIAL / f"{name}-{uuid.uuid4().hex}"
    try:
        own.mkdir(parents=True)
        if job.format == "parquet":
            pq.write_table(rows, own / name, compression="zstd")
        else:
            import lancedb

            lancedb.connect(own).create_table(Path(name).stem, rows)
        _place(own / name, job.out / SHARDS / name, own / "before")
    except (OSError, RuntimeError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CollectionError(
            f"{job.out / SHARDS / name}: cannot be written ({reason}); look at the disk, and run "
            "the same command again, it continues."
        ) from error
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _place(made: Path, target: Path, before: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if made.is_dir():  # a folder cannot be replaced in one step
        with suppress(FileNotFoundError):
            target.rename(before)
    os.replace(made, target)  # noqa: PTH105
