"""The page of 100,000 photos, scrolled: frames, long tasks, first thumbnails, memory.

    python benchmarks/page_scrolling.py --photos 100000 --out /tmp/scrolling

The index is written without a model: 300 small files, linked to from all paths, each path with a
date of its own over twenty years. The server is a process of its own; Chromium (headless) is driven
by Selenium. What is printed:

- first thumbnails: from the start of the navigation until those in the window are loaded
- frames: time between two of them while the page scrolls by 60 pixels a frame, and where it jumps
- processor: time that the page's main thread computes in a frame, which other work on the machine
  does not change
- long tasks: those of the page's main thread that take more than 50 ms, as Chromium reports them
- heap: of JavaScript after a collection, at the start and after photos scrolled by
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from selenium import webdriver

from indexing import DIM, Projection
from user_itr.search.index import ImageIndex
from user_itr.search.photos import content_hash
from user_itr.search.store.base import ContentRow, FileRow, FileState
from user_itr.search.table import write_lock

FILES = 300
LAST = datetime(2024, 12, 31, 20)
DAYS = 20 * 365

SCROLL = """
const [done, frames, step] = [arguments[2], arguments[0], arguments[1]];
const gaps = [];
let before = performance.now();
const frame = (now) => {
  gaps.push(now - before);
  before = now;
  if (gaps.length > frames) return done(gaps.slice(1));
  scrollBy({ top: step, behavior: "instant" });
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
"""

WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) window.longTasks.push(duration);
}).observe({ type: "longtask", buffered: true });
"""

FIRST = """
const done = arguments[0];
const look = () => {
  const seen = [...document.querySelectorAll("#grid .tile")].filter((tile) => {
    const { top, bottom } = tile.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  const images = seen.map((tile) => tile.querySelector("img"));
  const there = images.length && images.every((one) => one?.complete && one.naturalWidth);
  if (there) done(performance.now());
  else requestAnimationFrame(look);
};
look();
"""

SEEN = """
return document.querySelector("#grid").lastChild?.lastChild?.lastChild?.place ?? 0;
"""


def make(folder: Path, photos: int) -> ImageIndex:
    """An index of so many paths, which are links to a few hundred files."""
    encoder = Projection()
    dice = np.random.default_rng(0)
    (folder / "files").mkdir(parents=True)
    contents, sources = [], []
    for number in range(FILES):
        width, height = ((640, 480), (480, 640), (640, 360), (600, 600))[number % 4]
        path = folder / "files" / f"{number}.jpg"
        small = Image.fromarray(dice.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize((width, height)).save(path, quality=80)
        vector = dice.standard_normal(DIM, dtype=np.float32)
        row = ContentRow(
            content_hash(path.read_bytes()),
            path.stat().st_size,
            None,
            width,
            height,
            vector / np.linalg.norm(vector),
        )
        contents.append(row)
        sources.append(path)
    root = folder / "photos"
    index = ImageIndex.create_or_open(folder / "index", encoder, "projection")
    rows = []
    for number, minutes in enumerate(dice.integers(0, DAYS * 24 * 60, photos).tolist()):
        path = root / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        which = number % FILES
        os.link(sources[which], path)
        status = path.stat()
        state = FileState(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        taken = LAST - timedelta(minutes=minutes)
        rows.append(FileRow(str(path), str(root), state, contents[which].hash, None, taken))
    with write_lock(index.location):
        for start in range(0, photos, 10_000):
            part = rows[start : start + 10_000]
            new = contents if start == 0 else []
            index.ask(lambda store, part=part, new=new: store.write(part, new))
        index.ask(lambda store: store.finish())
    return index


def serve(folder: Path, port: int) -> None:
    """The server, in this process."""
    import uvicorn

    from user_itr.server.app import create_app

    index = ImageIndex.open(folder / "index")
    app = create_app(index, Projection(), cache=folder / "cache")
    uvicorn.run(app, port=port, log_level="error")


class Tab:
    """A tab of Chromium with the page in it."""

    def __init__(self, width: int, height: int) -> None:
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(600)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})

    def first_thumbnails(self, url: str) -> float:
        self.driver.get(url)
        return float(self.driver.execute_async_script(FIRST))

    def scroll(self, frames: int, step: int) -> np.ndarray:
        return np.array(self.driver.execute_async_script(SCROLL, frames, step))

    def busy(self) -> float:
        """Seconds that the main thread has computed."""
        told = self.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return float({one["name"]: one["value"] for one in told}["TaskDuration"])

    def long_tasks(self) -> list[float]:
        return list(self.driver.execute_script("return window.longTasks.splice(0)"))

    def heap(self) -> float:
        self.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        used = self.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]
        return float(used) / 1e6

    def elements(self) -> int:
        return int(self.driver.execute_script("return document.querySelectorAll('*').length"))


def scroll(tab: Tab, name: str, frames: int, step: int) -> None:
    tab.long_tasks()
    before = tab.busy()
    gaps = tab.scroll(frames, step)
    busy, long = 1000 * (tab.busy() - before) / frames, tab.long_tasks()
    late = (gaps > 1000 / 60 * 1.5).mean()
    print(
        f"{name:34} median {np.median(gaps):5.1f} ms, 99 % {np.percentile(gaps, 99):6.1f} ms, "
        f"late {late:6.2%}, processor {busy:.1f} ms a frame, "
        f"long tasks {len(long)} ({max(long, default=0):.0f} ms at most)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--scrolled", type=int, default=20_000, help="photos that scroll by")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.out, options.serve)
        return
    if not (options.out / "index").exists():
        start = time.monotonic()
        make(options.out, options.photos)
        print(f"{options.photos:,} photos indexed in {time.monotonic() - start:.0f} s", flush=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", __file__, "--out", str(options.out)]
    server = subprocess.Popen([*command, "--serve", str(port)])
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        measure(Tab(options.width, options.height), f"http://127.0.0.1:{port}/", options.scrolled)
    finally:
        server.terminate()
        server.wait()


def measure(tab: Tab, url: str, scrolled: int) -> None:
    try:
        print(f"load of the machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
        print(f"first thumbnails, server just started: {tab.first_thumbnails(url):.0f} ms")
        print(f"first thumbnails, once more: {tab.first_thumbnails(url):.0f} ms", flush=True)
        before = tab.heap()
        scroll(tab, "standing still", 120, 0)
        scroll(tab, "scrolling by 60 pixels a frame", 600, 60)
        scroll(tab, "scrolling by 1,000 pixels a frame", 300, 1000)
        while tab.driver.execute_script(SEEN) < scrolled:
            tab.scroll(300, 1000)
        time.sleep(1)
        seen = tab.driver.execute_script(SEEN)
        print(f"heap: {before:.1f} MB at the start, {tab.heap():.1f} MB after {seen:,} photos")
        print(f"elements in the page: {tab.elements():,}")
    finally:
        tab.driver.quit()


if __name__ == "__main__":
    main()
