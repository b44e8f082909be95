"""A real `user-itr serve` under load: many clients at once, latency by kind, memory over time.

    python benchmarks/serve_load.py --index my-photos --seconds 60 --clients 50

Each client asks again as soon as it is answered: searches by words (most of them never asked
before), photos like a photo, thumbnails, the newest photos. Only this machine is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict

import httpx
import numpy as np

WHO = ("a man", "a woman", "two dogs", "a child", "some people", "a brown horse", "a red car")
DOES = ("runs", "jumps", "sits", "plays", "waits", "sleeps", "stands", "looks up")
WHERE = ("on the beach", "in the snow", "in a street", "at night", "near water", "on a field")
KINDS = ("words", "words", "words", "similar", "thumbnail", "thumbnail", "newest")


def resident(pid: int) -> float:
    """MiB of a process, from Linux' /proc."""
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


async def client(base: str, end: float, ids: list[str], seed: int, seen: dict, failed: Counter):
    dice = random.Random(seed)
    numbers = itertools.count()
    async with httpx.AsyncClient(base_url=base, timeout=60) as http:
        while time.monotonic() < end:
            kind = dice.choice(KINDS)
            words = f"{dice.choice(WHO)} {dice.choice(DOES)} {dice.choice(WHERE)}"
            path, fields = {
                "words": ("/api/search", {"q": f"{words} {seed} {next(numbers)}", "limit": 40}),
                "similar": ("/api/search", {"similar": dice.choice(ids), "limit": 40}),
                "thumbnail": (f"/api/photos/{dice.choice(ids)}/thumbnail", {"size": 320}),
                "newest": ("/api/photos", {"limit": 40}),
            }[kind]
            start = time.perf_counter()
            try:
                answer = await http.get(path, params=fields)
                if answer.status_code != 200:
                    failed[f"{kind}: {answer.status_code}"] += 1
            except httpx.HTTPError as error:
                failed[f"{kind}: {type(error).__name__}"] += 1
            seen[kind].append(time.perf_counter() - start)


async def load(base: str, pid: int, seconds: float, clients: int) -> None:
    async with httpx.AsyncClient(base_url=base, timeout=60) as http:
        await http.get("/")  # as a browser does first
        listed = (await http.get("/api/photos", params={"limit": 200})).json()
        ids = [photo["id"] for photo in listed["photos"]]
        print(f"{listed['total_in_index']:,} photos, {clients} clients, {seconds:.0f} s")
        await http.get("/api/search", params={"q": "warm up"})
    seen: dict[str, list[float]] = defaultdict(list)
    failed: Counter[str] = Counter()
    end = time.monotonic() + seconds
    memory = []

    async def watch() -> None:
        while time.monotonic() < end:
            memory.append(resident(pid))
            await asyncio.sleep(seconds / 12)

    asked = [client(base, end, ids, seed, seen, failed) for seed in range(clients)]
    await asyncio.gather(watch(), *asked)
    total = sum(map(len, seen.values()))
    print(f"{total:,} requests, {total / seconds:.0f} a second, failed: {dict(failed) or 'none'}")
    print(f"{'':10} {'count':>7} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    everything = list(itertools.chain.from_iterable(seen.values()))
    for kind, times in [*sorted(seen.items()), ("all", everything)]:
        p50, p99 = 1000 * np.percentile(times, [50, 99])
        print(f"{kind:10} {len(times):7,} {p50:8.0f} {p99:8.0f} {1000 * max(times):8.0f}")
    print("resident MiB:", " ".join(f"{value:.0f}" for value in memory))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=50)
    options = parser.parse_args()
    command = [sys.executable, "-c", "from user_itr.cli import main; main()"]
    command += ["serve", "--index", options.index, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        line = server.stdout.readline()
        base = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        asyncio.run(load(base, server.pid, options.seconds, options.clients))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
