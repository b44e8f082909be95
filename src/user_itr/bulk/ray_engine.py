"""The same encoder on many machines: shards of the plan as rows of a Ray data set.

A row is the number of a shard. An actor, which loads the model once, reads that shard's images,
encodes and writes them, and gives back the shard's record. A worker that dies loses the shard that
it was at; Ray gives it to another, which writes it under the same name.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from user_itr.bulk.shards import PARTIAL, PLAN, Job, ShardRecord, encode_shards
from user_itr.errors import (
    CheckpointError,
    CollectionError,
    ConfigError,
    MissingExtraError,
    UserItrError,
)
from user_itr.search.encoder import Encoder

OBJECT_STORE_BYTES = 100 << 20
"""Of a cluster that is started here; nothing but numbers and records goes through it."""

REACH_SECONDS = 10.0
"""Longest wait for a cluster that was named to answer."""

DEATHS = 5
"""A shard over which so many workers died is given up: something in it kills them."""


class ShardWorker:
    """Ray's actor: encodes the shards whose numbers it is given.

    A mistake of the user's is given back as a sentence, since Ray would try it again.
    """

    def __init__(self, load_encoder: Callable[[], Encoder], job: Job, deaths: int) -> None:
        self.load_encoder = load_encoder
        self.job = job
        self.deaths = deaths

    @cached_property
    def encoder(self) -> Encoder:
        """The model, loaded by the first shard."""
        encoder = self.load_encoder()
        if encoder.fingerprint != self.job.fingerprint:
            raise CheckpointError(
                f"{platform.node()}: its model is {encoder.description}, of another "
                "fingerprint than that of the machine that the command runs on; give all the same."
            )
        return encoder

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        """Numbers of shards to records and errors, one of them empty."""
        rows: dict[str, list[str]] = {"record": [], "error": []}
        for number in batch["shard"].tolist():
            record = error = ""
            try:
                self._begin(number)
                [made] = encode_shards(self.encoder, self.job, [number])
                record = made.model_dump_json()
            except UserItrError as mistake:
                error = str(mistake)
            rows["record"].append(record)
            rows["error"].append(error)
        return rows

    def _begin(self, number: int) -> None:
        """Leave a mark for each try of a shard; Ray itself would try for ever."""
        if not (self.job.out / PLAN).is_file():
            raise ConfigError(
                f"{self.job.out}: is not the same folder on {platform.node()}; every machine of "
                "the cluster must find it, and the sources, at the same path."
            )
        marks = self.job.out / PARTIAL / f"{self.job.shard_name(number)}-tries"
        marks.mkdir(parents=True, exist_ok=True)
        if len(list(marks.iterdir())) >= self.deaths:
            raise CollectionError(
                f"{self.job.out}: {self.deaths} workers died over shard {number}; look at their "
                "memory and at Ray's logs, and run the same command again, it continues."
            )
        (marks / uuid.uuid4().hex).touch()


def encode_on_ray(
    load_encoder: Callable[[], Encoder],
    job: Job,
    numbers: Sequence[int],
    address: str | None,
    advance: Callable[[int], None],
) -> Generator[ShardRecord, None, None]:
    """Encode shards of the plan on a Ray cluster.

    Args:
        load_encoder: gives the model; picklable.
        job: the request.
        numbers: which shards.
        address: of a cluster ("auto" or "HOST:PORT"); by default what RAY_ADDRESS says, or one that
            is started on this machine. A connection that this process has already is used as it
            is.
        advance: called with the images of a shard that is done.

    Yields:
        Records in the order in which shards are done.

    Raises:
        MissingExtraError: if Ray is not installed.
        ConfigError: if the cluster cannot be reached, or no machine is large enough.
        CollectionError: if a shard cannot be made.
    """
    ray = import_ray()
    with _connected(ray, address):
        places, gpus = _places(ray, job.workers)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        rows = ray.data.from_items(
            [{"shard": number} for number in numbers], override_num_blocks=len(numbers)
        ).map_batches(
            ShardWorker,
            fn_constructor_args=(load_encoder, job, DEATHS),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                size=min(places, len(numbers)), max_tasks_in_flight_per_actor=1
            ),
            num_cpus=job.workers,
            num_gpus=gpus,
        )
        try:
            for row in rows.iter_rows():
                if row["error"]:
                    raise CollectionError(row["error"])
                record = ShardRecord.model_validate_json(row["record"])
                advance(record.shard.rows + len(record.skipped))
                yield record
        except (ray.exceptions.RayActorError, ray.exceptions.RaySystemError) as error:
            raise CollectionError(
                f"{job.out}: the cluster failed ({str(error).splitlines()[0]}); see that it is "
                "well, and run the same command again, it continues."
            ) from error


def import_ray() -> Any:
    """The package, with its calls home off.

    Raises:
        MissingExtraError: if it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError(
            "--engine ray needs Ray Data; run `pip install 'user-itr[ray]'` on every machine."
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    if ray.is_initialized() and address is None:
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        _reach(address)
        ray.init(address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"--address {address}: cannot be reached ({reason}); start Ray there with `ray start` "
            "(if it asks for a token, set RAY_AUTH_MODE=token here), or leave --address out."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Have the system say that no machine listens at HOST:PORT: Ray tries for two minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()


def _places(ray: Any, cpus: int) -> tuple[int, int]:
    """How many encoders the cluster holds, and how many GPUs each one takes (0 or 1)."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(any(node.get("GPU", 0) >= 1 for node in nodes))
    places = 0
    for node in nodes:
        here = node.get("CPU", 0) // cpus
        places += int(min(here, node.get("GPU", 0)) if gpus else here)
    if not places:
        largest = max(int(node.get("CPU", 0)) for node in nodes)
        raise ConfigError(
            f"--workers {cpus}: no machine of the cluster has so many CPUs{' and a GPU' * gpus}, "
            f"the largest has {largest}; give fewer."
        )
    return places, gpus
