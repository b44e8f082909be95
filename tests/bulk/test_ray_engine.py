"""The Ray engine on a cluster of two nodes, each a raylet with its own workers on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bulk_encoders import DeadlyEncoder, MarkingEncoder, colours, other_elsewhere
from collections_of_images import SEARCH_TESTS, samples, write_pictures, write_tar

from user_itr.bulk import ray_engine
from user_itr.bulk.collection import EmbeddingCollection, read_manifest
from user_itr.bulk.encoding import EncodingReport, encode_collection
from user_itr.errors import CollectionError, ConfigError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
ray = pytest.importorskip("ray", reason="needs the extra ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, and a connection to them."""
    from ray.cluster_utils import Cluster

    paths = [str(Path(__file__).parent), str(SEARCH_TESTS), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))  # for the workers
        node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
        ray.init(cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """44 images, one of them damaged."""
    folder = tmp_path_factory.mktemp("sources")
    photos = write_pictures(folder / "photos", range(20))
    (photos / "013.png").write_bytes(b"no picture")
    return [photos, write_tar(folder / "a.tar", samples(range(24)))]


def encode(
    sources: list[Path], out: Path, load: Any = colours, **options: object
) -> EncodingReport:
    settings = {"shard_rows": 8, "batch_size": 4, "workers": 1, **options}
    return encode_collection(sources, out, load, "a model", **settings)


def rows(out: Path) -> list[dict]:
    return [row for table in EmbeddingCollection(out).tables() for row in table.to_pylist()]


@pytest.fixture(scope="module")
def local(sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local engine makes of the sources."""
    out = tmp_path_factory.mktemp("local") / "out"
    encode(sources, out)
    return out


def test_both_nodes_make_what_one_machine_makes(
    cluster: Any, sources: list[Path], local: Path, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    shown: list[tuple[int, int]] = []
    report = encode(
        sources,
        tmp_path / "out",
        partial(MarkingEncoder, marks),
        engine="ray",
        progress=lambda done, total: shown.append((done, total)),
    )
    assert rows(tmp_path / "out") == rows(local)
    assert (report.encoded, len(report.skipped)) == (44, 1)
    wanted = read_manifest(local)
    assert [shard.sha256 for shard in report.manifest.shards] == [
        shard.sha256 for shard in wanted.shards
    ]
    assert (tmp_path / "out" / "skipped.jsonl").read_bytes() == (
        local / "skipped.jsonl"
    ).read_bytes()
    assert shown[0] == (0, 44)
    assert shown[-1] == (44, 44)
    nodes = [mark.name.split("-")[0] for mark in marks.iterdir()]
    assert len(nodes) == 2, "each encoder is loaded once a worker"
    assert set(nodes) == {node["NodeID"] for node in ray.nodes()}


def test_an_address_where_nothing_listens_is_said_at_once(
    sources: list[Path], tmp_path: Path
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ConfigError, match=rf"--address {address}: .*refused.*`ray start`"):
            encode(sources, tmp_path / "out", engine="ray", address=address)


def test_killed_workers_lose_and_repeat_no_row(
    cluster: Any, sources: list[Path], local: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a shard, twice; the shards of both are made by other processes."""
    marks = tmp_path / "marks"
    marks.mkdir()
    load = partial(DeadlyEncoder, marks, deaths=2)
    report = encode(sources, tmp_path / "out", load, engine="ray", format="lance")
    assert len(list(marks.iterdir())) == 2, "two workers died"
    assert rows(tmp_path / "out") == rows(local)
    assert report.encoded == 44
    assert not list((tmp_path / "out").glob(".partial/*/*"))
    EmbeddingCollection(tmp_path / "out").verify()


def test_stopped_it_leaves_the_cluster_and_goes_on(
    cluster: Any, sources: list[Path], local: Path, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(sources, tmp_path / "out", engine="ray", progress=stop)
    left = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) < 2:
        assert time.monotonic() < left, "encoders still hold the cluster"
        time.sleep(0.1)
    finished = len(read_manifest(tmp_path / "out").shards)
    assert 1 <= finished < 6
    report = encode(sources, tmp_path / "out", engine="ray")
    assert report.resumed == finished
    assert rows(tmp_path / "out") == rows(local)


def test_mistakes_come_back_as_sentences(
    cluster: Any, sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"--workers 2: no machine .* the largest has 1"):
        encode(sources, tmp_path / "out", engine="ray", workers=2)
    other = partial(other_elsewhere, os.getpid())
    with pytest.raises(CollectionError, match="its model is others, 8 colours, of another"):
        encode(sources, tmp_path / "out", other, engine="ray")
    monkeypatch.setattr(ray_engine, "DEATHS", 1)
    (tmp_path / "marks").mkdir()
    deadly = partial(DeadlyEncoder, tmp_path / "marks", deaths=100, after=0)
    with pytest.raises(CollectionError, match="1 workers died over shard"):
        encode(sources, tmp_path / "out", deadly, engine="ray")
    assert encode(sources, tmp_path / "out").resumed < 6


STOPPED = """
import sys, time
from pathlib import Path
from bulk_encoders import SlowEncoder
from user_itr.bulk.encoding import encode_collection

if __name__ == "__main__":
    options = dict(engine="ray", shard_rows=4, batch_size=4, workers=1)
    encode_collection(sys.argv[1:2], sys.argv[2], SlowEncoder, "a model", **options)
"""


def test_ctrl_c_ends_the_cluster_that_the_run_started(sources: list[Path], tmp_path: Path) -> None:
    """SIGINT to the whole group, as a terminal sends it; no process of it stays."""
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)
    mark = f"USER_ITR_TEST={tmp_path}"
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment |= dict([mark.split("=")])
    environment.pop("RAY_ADDRESS", None)
    out = tmp_path / "out"
    run = subprocess.Popen(
        [sys.executable, script, sources[0], out],
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _wait(lambda: (out / "finished.jsonl").exists() or run.poll() is not None, 120)
        assert run.poll() is None
        assert len(_marked(mark)) > 3
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=60)
        assert errors.rstrip().endswith(b"KeyboardInterrupt"), errors
        _wait(lambda: not _marked(mark), 20)
    finally:
        for process in _marked(mark):
            os.kill(process, signal.SIGKILL)
    assert 1 <= len(read_manifest(out).shards) < 5


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def _marked(mark: str) -> list[int]:
    """Running processes that inherited a variable."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found
