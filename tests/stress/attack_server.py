"""Attacks on a running `user-itr serve`, each repeated, as docs/threat-model.md names them.

    python tests/stress/attack_server.py [--seconds 10]

Makes a folder of photos, an index and a server of its own, attacks it from this machine, and prints
a line an attack: what was tried, how often, and whether the promise held.

Exit code: 0 all held, 1 not.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
from PIL import Image, features

TOKEN = "attacked0123456789"
COLOURS = ("red", "green", "blue", "orange")
SECRET = b"root:x:0:0"


@contextmanager
def serving(index: Path, cache: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Address and process of a server."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "user_itr", "serve", "--index", str(index), "--port", "0"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, env=environment, text=True
    ) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+/", server.stdout.readline())
            assert found is not None, "the server did not start"
            yield found[0].rstrip("/"), server.pid
            assert server.poll() is None, f"the server ended with {server.returncode}"
        finally:
            server.terminate()


def held(pid: int) -> int:
    """MiB that a process and those it started hold, from Linux' /proc."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            status = (folder / "status").read_text()
            parent = int(re.search(r"PPid:\s+(\d+)", status)[1])  # type: ignore[index]
            if pid in (int(folder.name), parent):
                total += int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
    return total // 1024


def swapped_links(base: str, pid: int, photos: Path, seconds: float) -> str:
    """An indexed photo is swapped with a link to a system file as fast as it goes."""
    target = photos / "red.jpg"
    content = target.read_bytes()
    http = httpx.Client(base_url=base, timeout=60)
    ids = {one["name"]: one["id"] for one in http.get("/api/photos").json()["photos"]}
    ended = threading.Event()

    def swap() -> None:
        link, kept = photos / "link.tmp", photos / "kept.tmp"
        kept.write_bytes(content)
        while not ended.is_set():
            link.symlink_to("/etc/passwd")
            link.rename(target)
            os.link(kept, link)
            link.rename(target)
        kept.unlink()

    attacker = threading.Thread(target=swap)
    attacker.start()
    seen: Counter[int] = Counter()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for part in ("file", "thumbnail?size=160"):
                answer = http.get(f"/api/photos/{ids['red.jpg']}/{part}")
                seen[answer.status_code] += 1
                assert SECRET not in answer.content, "a system file was sent"
                assert answer.status_code != 200 or answer.content[:2] == b"\xff\xd8", "no JPEG"
    finally:
        ended.set()
        attacker.join()
        target.unlink()
        target.write_bytes(content)
    return f"{seen.total()} requests, {dict(seen)}"


def other_sites(base: str, pid: int, photos: Path, seconds: float) -> str:
    """A page of another site posts pictures and asks for thumbnails."""
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    tried = 0
    for given in (headers, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        for method, path in (("POST", "/api/search"), ("GET", "/api/photos"), ("HEAD", "/metrics")):
            status = httpx.request(method, base + path, headers=given).status_code
            assert status == 403, f"{method} {path} with {given}: {status}"
            tried += 1
    return f"{tried} requests, all 403"


def bombs(base: str, pid: int, photos: Path, seconds: float) -> str:
    """Small files of many pixels are uploaded, eight at a time."""
    forms = ["PNG", *(["AVIF"] if features.check("avif") else [])]
    files = []
    for form in forms:
        for side in (6_300, 12_000):
            buffer = io.BytesIO()
            Image.new("RGB", (side, side), "red").save(buffer, form)
            files.append((f"{form.lower()}-{side}", buffer.getvalue()))
    small, done = {"photo": ("red.jpg", (photos / "red.jpg").read_bytes())}, 0
    while done < 3:  # the model is loaded, and what it needs to run; it may be busy with that
        status = httpx.post(f"{base}/api/search", files=small, timeout=300).status_code
        assert status in (200, 503), f"an upload was answered {status}"
        done += status == 200
    seen: Counter[int] = Counter()
    before, peak = held(pid), 0
    ended = threading.Event()

    def post(name: str, content: bytes) -> None:
        form = {"photo": (f"{name}.{name.partition('-')[0]}", content)}
        seen[httpx.post(f"{base}/api/search", files=form, timeout=300).status_code] += 1

    threads = [threading.Thread(target=post, args=one) for one in files * 2]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, held(pid))
        ended.wait(0.2)
    after = held(pid)
    assert seen[500] == 0, "the server failed"
    assert httpx.get(f"{base}/healthz").status_code == 200
    assert after < before + 200, f"{after - before} MiB stayed"
    return (
        f"{seen.total()} uploads, {dict(seen)}; {before} MiB before, {peak} at most, {after} after"
    )


def held_connections(base: str, pid: int, photos: Path, seconds: float) -> str:
    """One client opens connections and sends nothing."""
    host, port = base.removeprefix("http://").rsplit(":", 1)
    with ExitStack() as stack:
        opened = []
        for _ in range(900):
            opened.append(stack.enter_context(socket.create_connection((host, int(port)))))
        closed = 0
        for one in opened:
            one.settimeout(5.0)
            if closed < 650:
                with suppress(TimeoutError, ConnectionError):
                    one.sendall(b"GET /healthz HTTP/1.1\r\n")
                    one.settimeout(0.02)
                    closed += one.recv(1) == b""
                    continue
                closed += 1
    assert httpx.get(f"{base}/healthz", timeout=60).status_code == 200
    return "900 connections, and the server answers"


def cut_short(base: str, pid: int, photos: Path, seconds: float) -> str:
    """The derived files of the index are cut short."""
    files = [
        *(photos.parent / "index").rglob("*.npy"),
        *(photos.parent / "index").rglob("*.usearch"),
    ]
    for file in files:
        os.truncate(file, 1)
    for _ in range(20):
        assert httpx.get(f"{base}/api/search?q=red", timeout=60).status_code == 200
    return f"{len(files)} files, 20 searches after it"


def gone_index(base: str, pid: int, photos: Path, seconds: float) -> str:
    """The folder of the index is moved away."""
    index = photos.parent / "index"
    index.rename(photos.parent / "away")
    try:
        end = time.monotonic() + 60
        while httpx.get(f"{base}/healthz").status_code == 200:
            assert time.monotonic() < end, "/healthz says that all is well"
    finally:
        (photos.parent / "away").rename(index)
    return "/healthz says so"


def guesses(base: str, pid: int, photos: Path, seconds: float) -> str:
    """Tokens are guessed, also many in one request, after one stale cookie a hundred times."""
    port = base.rsplit(":", 1)[1]
    http = httpx.Client(base_url=base)
    for _ in range(100):
        stale = {"Cookie": f"user_itr_token_{port}=yesterday123"}
        assert http.get("/api/index", headers=stale).status_code == 401
    answer = http.get(f"/?q=red&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?q=red"), "locked out"
    seen = Counter(
        http.get("/api/index", headers={"Authorization": f"Bearer guess{number}"}).status_code
        for number in range(100)
    )
    assert seen[401] <= 12, f"{seen[401]} guesses were answered"
    return f"100 stale cookies, then 100 guesses: {dict(seen)}"


OPEN = (swapped_links, other_sites, bombs, held_connections, gone_index, cut_short)
WITH_TOKEN = (guesses,)


def main() -> int:
    """Run all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="that files are swapped for")
    parser.add_argument("--model", default="shipped:flickr8k")
    seconds = (given := parser.parse_args()).seconds
    failed = 0
    with tempfile.TemporaryDirectory() as home:
        photos = Path(home, "photos")
        photos.mkdir()
        for colour in COLOURS:
            Image.new("RGB", (400, 300), colour).save(photos / f"{colour}.jpg")
        index = ["index", str(photos), "--index", f"{home}/index", "--model", given.model]
        subprocess.run([sys.executable, "-m", "user_itr", *index], check=True)
        groups: tuple[tuple[tuple[str, ...], tuple[Callable[..., str], ...]], ...] = (
            ((), OPEN),
            (("--token", TOKEN), WITH_TOKEN),
        )
        for options, attacks in groups:
            with serving(Path(home, "index"), Path(home, "cache"), *options) as (base, pid):
                for attack in attacks:
                    try:
                        told = f"held: {attack(base, pid, photos, seconds)}"
                    except (AssertionError, httpx.HTTPError) as error:
                        failed += 1
                        told = f"FAILED: {type(error).__name__} {error}"
                    print(f"{attack.__name__:18} {told}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
