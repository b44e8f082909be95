"""One call to encode a collection, by either engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from user_itr.bulk.collection import CollectionManifest, Dtype, ShardFormat
from user_itr.bulk.journal import Journal, write_lock
from user_itr.bulk.plan import absolute_sources
from user_itr.bulk.shards import Job, encode_shards
from user_itr.errors import ConfigError
from user_itr.search.encoder import Encoder
from user_itr.search.photos import Skipped

Engine: TypeAlias = Literal["local", "ray"]


@dataclass(frozen=True)
class EncodingReport:
    """What an encoding did.

    Attributes:
        manifest: of the finished folder.
        encoded: images of this run.
        resumed: shards that earlier runs had finished.
        skipped: what has no row, and why; of all runs.
        seconds: wall-clock time, without loading the model.
    """

    manifest: CollectionManifest
    encoded: int
    resumed: int
    skipped: list[Skipped]
    seconds: float


def encode_collection(
    sources: Sequence[str | Path],
    out: str | Path,
    load_encoder: Callable[[], Encoder],
    model: str,
    *,
    engine: Engine = "local",
    format: ShardFormat = "parquet",
    dtype: Dtype = "float32",
    shard_rows: int = 4096,
    batch_size: int = 32,
    workers: int = 2,
    address: str | None = None,
    overwrite: bool = False,
    listed: Callable[[int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EncodingReport:
    """Encode folders of images and WebDataset tars into a folder of shards.

    The images are listed once, and cut into shards; each shard is written whole, under a name of
    its own. After a kill or Ctrl-C the same call makes the shards that are missing, and the rows
    are those of an uninterrupted run; images that came meanwhile are not in the list. A finished
    folder is left as it is.

    Args:
        sources: folders and uncompressed tars; a folder gives its images, then its tars.
        out: folder of the shards. With Ray, every machine must see it and the sources at the same
            path.
        load_encoder: gives the model; Ray's workers call it once each.
        model: what the model is called in the manifest.
        engine: "local", one encoder with processes that decode beside it (a script needs
            `if __name__ == "__main__":`), or "ray", as many encoders as the cluster holds.
        format: of the shards.
        dtype: of the embeddings.
        shard_rows: images a shard, a multiple of `batch_size`.
        batch_size: images encoded at once.
        workers: processes that decode for each encoder; with Ray also the CPUs that one takes.
        address: of a Ray cluster; by default one is started on this machine.
        overwrite: begin anew where `out` holds an encoding.
        listed: called with the number of images listed so far.
        progress: called with (images done, images in all), with Ray once a shard.

    Raises:
        ConfigError: if a number is out of range, or no machine of the cluster is large enough.
        DataError: if a source is missing or there is no image.
        CollectionError: if `out` holds something else, or cannot be written.
        MissingExtraError: if Ray is wanted and not installed.
    """
    for name, value in (
        ("shard rows", shard_rows),
        ("batch size", batch_size),
        ("workers", workers),
    ):
        if value < 1:
            raise ConfigError(f"{name} is {value}; give 1 or more.")
    if shard_rows % batch_size:
        below = max(shard_rows // batch_size, 1) * batch_size
        raise ConfigError(
            f"shard rows is {shard_rows}, no multiple of the batch size, {batch_size}; give "
            f"{below} or {below + batch_size}."
        )
    if engine == "ray":
        from user_itr.bulk.ray_engine import encode_on_ray, import_ray

        import_ray()
    out = Path(out).absolute()
    places = absolute_sources(sources)
    encoder = load_encoder()
    start = time.monotonic()
    request = CollectionManifest(
        model=model,
        fingerprint=encoder.fingerprint,
        description=encoder.description,
        dim=encoder.dim,
        dtype=dtype,
        format=format,
        sources=tuple(map(str, places)),
        batch_size=batch_size,
        shard_rows=shard_rows,
    )
    job = Job(out, format, dtype, encoder.fingerprint, batch_size, workers)
    with write_lock(out):
        journal = Journal(out, request, overwrite=overwrite, listed=listed)
        resumed = len(journal.records)
        sizes = [journal.plan.shard_items(number) for number in range(journal.plan.shards)]
        done = sum(sizes[number] for number in journal.records)
        before = done

        def advance(images: int) -> None:
            nonlocal done
            done += images
            if progress is not None:
                progress(done, journal.plan.items)

        advance(0)
        try:
            if missing := journal.missing:
                if engine == "ray":
                    records = encode_on_ray(load_encoder, job, missing, address, advance)
                else:
                    records = encode_shards(encoder, job, missing, advance)
                with closing(records):
                    for record in records:
                        journal.add(record)
        finally:
            journal.close()
        seconds = time.monotonic() - start
        return EncodingReport(journal.manifest, done - before, resumed, journal.skipped, seconds)
