"""The page of the server in Debian's Chromium: real photos, real index, real server."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from user_itr.search.index import ImageIndex
from user_itr.search.sentences import SentenceStore

sys.path.append(str(Path(__file__).parents[2] / "search"))
from colour_encoder import PALETTE, ColourEncoder

SIZES = ((300, 200), (200, 300), (320, 180), (240, 240), (1400, 1100), (640, 200))
EACH = 17  # photos of each of the eight colours
NEWEST = 1_700_000_000  # seconds
EVIL = 'red-"><img src=x onerror=document.title=1>.jpg'


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """136 photos, each a colour with a stripe of another one, a day between one and the next."""
    folder = tmp_path_factory.mktemp("page") / "photos"
    colours = list(PALETTE)
    for number in range(EACH * len(colours)):
        colour, stripe = colours[number % 8], colours[(number + 1 + number // 8 % 7) % 8]
        width, height = SIZES[number % len(SIZES)]
        image = Image.new("RGB", (width, height), PALETTE[colour])
        image.paste(PALETTE[stripe], (0, 0, width, height * (number // 8) // 60))
        name = EVIL if number == 0 else f"{colour}-{number:03}.jpg"
        path = folder / ("even" if number % 2 else "odd") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        os.utime(path, (NEWEST - 86400 * number,) * 2)
    return folder


class Server:
    """The server's app under uvicorn in a thread, on a port that stays the same."""

    def __init__(self, make_app: Callable[[], object]) -> None:
        self.make_app = make_app
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        import uvicorn

        config = uvicorn.Config(
            self.make_app(),
            port=self.port,
            log_level="error",
            timeout_graceful_shutdown=5,  # as `user-itr serve` does: browsers keep connections
        )
        self.uvicorn = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.uvicorn.run, daemon=True)
        self.thread.start()
        while not self.uvicorn.started:
            assert self.thread.is_alive()
            time.sleep(0.01)

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(30)
        if self.thread.is_alive():  # uvicorn waits for a connection that the browser holds
            self.uvicorn.force_exit = True
            self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture(scope="session")
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture(scope="session")
def index(
    photos: Path, encoder: ColourEncoder, tmp_path_factory: pytest.TempPathFactory
) -> ImageIndex:
    index = ImageIndex.create_or_open(tmp_path_factory.mktemp("page") / "index", encoder, "model")
    for folder in sorted(photos.iterdir()):
        index.update(folder, encoder)
    SentenceStore(index).replace([f"something {colour}" for colour in PALETTE], encoder)
    return index


@pytest.fixture(scope="session")
def serve(
    encoder: ColourEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """A function that serves an index until the tests end."""
    server = pytest.importorskip("user_itr.server.app", reason="needs user-itr[app]")
    cache = tmp_path_factory.mktemp("thumbnails")
    started = []

    def start(index: ImageIndex, **options: object) -> Server:
        make_app = partial(server.create_app, index, encoder, cache=cache, **options)
        started.append(Server(make_app))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def server(index: ImageIndex, serve: Callable[..., Server]) -> Server:
    return serve(index)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


class Page:
    """The page as a person uses it."""

    def __init__(self, browser, url: str) -> None:
        self.browser = browser
        self.url = url

    def open(self, address: str = "/") -> None:
        self.browser.get(self.url + address)
        self.settle()

    def run(self, script: str, *arguments: object):
        return self.browser.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], object], seconds: float = 90):
        """What the condition gives as soon as it is true; a busy machine may take long."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, condition
            time.sleep(0.03)
        return found

    def settle(self) -> None:
        """Wait for the photos of a search, or for what the page says instead."""
        self.wait(
            lambda: self.run(
                "const hidden = (id) => document.getElementById(id)?.hidden;"
                "const some = (tiles) => document.querySelector(`#grid ${tiles}`) !== null;"
                "const told = !hidden('message') || some('.tile');"
                "return hidden('progress') && told && !some('.tile:not([data-id])')"
            )
        )

    def find(self, selector: str) -> list:
        return self.browser.find_elements("css selector", selector)

    def one(self, selector: str):
        """The only element that fits; the page may still be about to make it."""
        self.wait(lambda: len(self.find(selector)) == 1)
        [found] = self.find(selector)
        return found

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).innerText.trim()", selector)

    def names(self, selector: str = "#grid") -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((image) => image.alt)"
        return self.run(script, f"{selector} .tile:not([hidden]) img")

    def every_name(self) -> list[str]:
        """The names of all photos of a list, which are in the page only near the window."""
        known: dict[str, None] = {}
        self.run("scrollTo(0, 0)")
        while True:
            self.wait(lambda: not self.find("#grid .tile:not([data-id])"))
            known |= dict.fromkeys(self.names())
            at = self.run("const at = scrollY; scrollBy(0, 600); return at")
            if self.run("return scrollY") == at:
                return list(known)

    def search(self, words: str) -> None:
        box = self.one("#q")
        box.clear()
        self.press(words, "Enter", into=box)
        self.settle()

    def press(self, *keys: str, into=None) -> None:
        """Press keys, named as in JavaScript, in an element or wherever the focus is."""
        from selenium.webdriver.common.keys import Keys

        named = {"ArrowLeft": Keys.LEFT, "ArrowRight": Keys.RIGHT, "ArrowUp": Keys.UP}
        named |= {
            "ArrowDown": Keys.DOWN,
            "Enter": Keys.ENTER,
            "Escape": Keys.ESCAPE,
            "Tab": Keys.TAB,
            "Home": Keys.HOME,
            "End": Keys.END,
            "PageUp": Keys.PAGE_UP,
            "PageDown": Keys.PAGE_DOWN,
            "Space": Keys.SPACE,
        }
        target = into if into is not None else self.browser.switch_to.active_element
        for key in keys:
            target.send_keys(named.get(key, key))
            target = self.browser.switch_to.active_element

    def focused(self) -> str:
        """The name of the photo that has the focus."""
        return self.run("return document.activeElement.querySelector('img')?.alt ?? ''")

    def hand_over(self, path: Path | None, how: str, *, name: str = "", kind: str = "image/jpeg"):
        """Drop a file on the page or paste it; without a path a file of no bytes."""
        data = path.read_bytes() if path else b""
        self.run(
            """
            const [bytes, name, type, how] = arguments;
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(bytes)], name, { type }));
            const options = { bubbles: true, cancelable: true };
            const events = how === "paste"
              ? [new ClipboardEvent("paste", { ...options, clipboardData: transfer })]
              : ["dragenter", "dragover", "drop"].map(
                  (kind) => new DragEvent(kind, { ...options, dataTransfer: transfer }));
            for (const event of events) document.body.dispatchEvent(event);
            """,
            list(data),
            name or (path.name if path else "nothing"),
            kind,
            how,
        )

    def resize(self, width: int, height: int = 800) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, **features: str) -> None:
        """The person's settings: prefer(color_scheme="dark")."""
        given = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": given})

    def complaints(self, *, network: bool = True) -> list[str]:
        """What the console says, CSP violations among it; requests that failed are `network`."""
        log = self.browser.get_log("browser")
        return [one["message"] for one in log if network or one["source"] != "network"]


@pytest.fixture
def page(browser, server: Server) -> Iterator[Page]:
    """The page of the index of 136 photos; the test fails where its console says anything."""
    page = Page(browser, server.url)
    page.resize(1280)
    page.prefer(color_scheme="light")
    page.open()
    page.run("localStorage.clear()")
    yield page
    assert page.complaints() == []


@pytest.fixture
def troubled(browser, server: Server) -> Iterator[Page]:
    """The same for tests in which requests fail, which the console reports."""
    page = Page(browser, server.url)
    page.resize(1280)
    page.prefer(color_scheme="light")
    page.open()
    page.run("localStorage.clear()")
    yield page
    assert page.complaints(network=False) == []
