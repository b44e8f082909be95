"""Images to a feature store: decode ahead, encode in fixed batches, resume after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from user_itr.errors import ConfigError, DataError, FeatureError
from user_itr.features.backbones.base import Backbone
from user_itr.features.store import (
    MANIFEST_FILE,
    FeatureManifest,
    FeatureStore,
    SkippedImage,
)
from user_itr.features.writer import StoreWriter, drop_leftovers

FLOAT16_MAX = float(np.finfo(np.float16).max)
BATCHES_AHEAD = 2
"""Batches that are decoded, or being decoded, while the backbone works on one."""


MOST_WORKERS = 16
"""Threads that decode images, where nobody says how many."""


@dataclass(frozen=True)
class ExtractionReport:
    """What an extraction did.

    Attributes:
        images: images that were asked for.
        resumed: images of them that an earlier run had done already.
        skipped: images without a row in the store, of all runs so far.
        complete: whether the store is finished.
    """

    images: int
    resumed: int
    skipped: tuple[SkippedImage, ...]
    complete: bool


def extract_features(
    images: Sequence[tuple[str, Path]],
    backbone: Backbone,
    out: Path,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    limit_batches: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ExtractionReport:
    """Extract region features of images into the store `out`.

    Batches are cut from `images` at fixed places. An image that cannot be decoded is left out of
    its batch, gets no row, and is listed in the report and the manifest. After a kill the same call
    continues with the first batch that was not complete, and the finished store is the same to the
    byte as that of an uninterrupted run. A finished store of the same request is left as it is.

    Features beyond the range of float16 are clipped to +-65504.

    Args:
        images: (id, file) pairs; the ids are unique and key the store's rows.
        backbone: the network.
        out: the store's folder; it is made where it is not there.
        batch_size: images a batch.
        workers: threads that decode and scale images; by default one a core, at most 16.
        limit_batches: stop after this many batches, the store unfinished.
        overwrite: replace a store, or drop an unfinished run, that another request made.
        progress: called with (images done, images asked for), once before the first batch and
            after each.

    Raises:
        ConfigError: if `batch_size` or `workers` is below 1.
        FeatureError: if ids repeat, no image can be decoded, `out` holds something else, the disk
            is full, or the backbone gives NaN.
    """
    workers = min(MOST_WORKERS, os.cpu_count() or 2) if workers is None else workers
    for name, value in (("batch size", batch_size), ("workers", workers)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; give 1 or more.")
    if not images:
        raise FeatureError(f"{out}: there are no images to extract features from.")
    image_ids = [image_id for image_id, _ in images]
    [(repeated, times)] = Counter(image_ids).most_common(1)
    if times > 1:
        raise FeatureError(f"image id {repeated} occurs {times} times; give each image one id.")
    fingerprint = _fingerprint(images, backbone, batch_size)
    if not overwrite and (out / MANIFEST_FILE).exists():
        store = FeatureStore.open(out)
        _require_same(store, image_ids, backbone, batch_size, fingerprint)
        drop_leftovers(out)
        return ExtractionReport(len(images), len(images), store.manifest.skipped, True)

    created_with = program_versions(backbone.runtime, backbone.device)
    with StoreWriter(
        out,
        fingerprint=fingerprint,
        created_with=created_with,
        threads=torch.get_num_threads(),
        regions=backbone.regions,
        width=backbone.width,
        overwrite=overwrite,
    ) as writer:
        first = writer.progress.batches
        batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
        resumed = min(first * batch_size, len(images))
        _require_space(out, (len(images) - resumed) * backbone.regions * backbone.width * 2)
        stop = len(batches) if limit_batches is None else first + limit_batches
        if progress is not None:
            progress(resumed, len(images))
        decoding = _decode_ahead(batches[first:stop], backbone.load, workers)
        with closing(decoding) as ahead, _computing_threads(writer.progress.threads):
            for decoded in ahead:
                rows = [pixels for pixels in decoded if not isinstance(pixels, SkippedImage)]
                failed = [image for image in decoded if isinstance(image, SkippedImage)]
                writer.append(_encode(backbone, rows), failed)
                if progress is not None:
                    progress(min(writer.progress.batches * batch_size, len(images)), len(images))
        state = writer.progress
        complete = state.batches == len(batches)
        if complete:
            if not state.rows:
                raise FeatureError(
                    f"{out}: none of the {len(images)} images could be decoded, first "
                    f"{state.skipped[0].image_id}: {state.skipped[0].reason}"
                )
            left_out = {image.image_id for image in state.skipped}
            writer.finish(
                FeatureManifest.model_validate(
                    {
                        **backbone.identity(),
                        "batch_size": batch_size,
                        "fingerprint": fingerprint,
                        "features_sha256": "0" * 64,
                        "created_with": created_with,
                        "skipped": state.skipped,
                        "image_ids": tuple(i for i in image_ids if i not in left_out),
                    }
                )
            )
    return ExtractionReport(len(images), resumed, state.skipped, complete)


def program_versions(runtime: str = "torch", device: torch.device | None = None) -> dict[str, str]:
    """Versions of the programs that decide the last bits of features; see `Backbone.runtime`."""
    names = dict.fromkeys(("user-itr", "torch", "numpy", "pillow", runtime))
    versions = {name: version(name) for name in names}
    if device is not None and device.type == "cuda":
        versions["cuda"] = str(torch.version.cuda)
    return versions


@contextmanager
def _computing_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _encode(backbone: Backbone, pixels: list[np.ndarray]) -> np.ndarray:
    if not pixels:
        return np.empty((0, backbone.regions, backbone.width), np.float16)
    features = backbone.encode(np.stack(pixels)).clamp(-FLOAT16_MAX, FLOAT16_MAX)
    return features.half().numpy()


def _decode_ahead(
    batches: Sequence[Sequence[tuple[str, Path]]],
    load: Callable[[Path], np.ndarray],
    workers: int,
) -> Generator[list[np.ndarray | SkippedImage], None, None]:
    """Decode each batch in worker threads, at most `BATCHES_AHEAD` before it is asked for."""

    def decode(image: tuple[str, Path]) -> np.ndarray | SkippedImage:
        image_id, path = image
        try:
            return load(path)
        except DataError as error:
            # the folder would make the manifest of a moved data set another one
            reason = str(error).removeprefix(f"{path}: ").replace(str(path), path.name)
            return SkippedImage(image_id=image_id, reason=reason)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[list[Future[np.ndarray | SkippedImage]]] = deque()
    try:
        for batch in batches:
            pending.append([pool.submit(decode, image) for image in batch])
            if len(pending) > BATCHES_AHEAD:
                yield [future.result() for future in pending.popleft()]
        while pending:
            yield [future.result() for future in pending.popleft()]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fingerprint(images: Sequence[tuple[str, Path]], backbone: Backbone, batch_size: int) -> str:
    """SHA-256 of all that decides the store's bytes: backbone, batches, ids and files' sizes."""
    request = {
        **backbone.identity(),
        "batch_size": batch_size,
        "images": [[image_id, _size(path)] for image_id, path in images],
    }
    del request["backbone"]  # a name or a path; the hash tells the weights
    if backbone.runtime != "torch":
        request["runtime"] = backbone.runtime
    if backbone.device.type != "cpu":
        request["device"] = backbone.device.type
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _require_same(
    store: FeatureStore,
    image_ids: Sequence[str],
    backbone: Backbone,
    batch_size: int,
    fingerprint: str,
) -> None:
    manifest = store.manifest
    if manifest.fingerprint == fingerprint:
        return
    differences = store.differences(backbone)
    known = {*manifest.image_ids, *(image.image_id for image in manifest.skipped)}
    if differences:
        made = f"features of backbone {manifest.backbone} ({', '.join(differences)} differ)"
    elif known != set(image_ids):
        made = f"features of other images ({len(known)}, not these {len(image_ids)})"
    elif (
        made_by := program_versions(backbone.runtime, backbone.device).keys()
    ) != manifest.created_with.keys():
        runtimes = [" and ".join(sorted(names)) for names in (manifest.created_with, made_by)]
        made = f"features computed by {runtimes[0]}, not by {runtimes[1]}"
    elif manifest.batch_size != batch_size:
        made = f"features made in batches of {manifest.batch_size}, not {batch_size}"
    else:
        made = "features of these images in another order or before their files changed"
    raise FeatureError(f"{store.path}: holds {made}; give another folder or --overwrite.")


def _require_space(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out).free
    if needed > free:
        raise FeatureError(
            f"{out}: the features need {needed / 1e9:.1f} GB more and the disk has "
            f"{free / 1e9:.1f} GB free; give a folder on a larger disk."
        )
