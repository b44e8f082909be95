"""The page in a real browser: Debian's Chromium with its driver, skipped where they are missing."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from user_itr.data.captions import CaptionedImages
from user_itr.evaluation.embedding_scores import EmbeddingScores
from user_itr.evaluation.evaluating import Request, evaluate_sources
from user_itr.evaluation.page import write_page
from user_itr.evaluation.page.charts import curve_ks, histogram
from user_itr.evaluation.page.content import page_content
from user_itr.evaluation.page.hubs import find_hubs
from user_itr.evaluation.result import ScoredBy
from user_itr.evaluation.sources import Source

IMAGES, CAPTIONS = 40, 3
EVIL = '</script><script>document.title="broken"</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Coloured pictures, one of them damaged, and captions with noise; one caption is hostile."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(IMAGES):
        path = folder / f"picture-{i:02}.jpg"
        Image.new("RGB", (300, 200), tuple(rng.integers(0, 256, 3).tolist())).save(path)
        paths.append(path)
    images = rng.normal(size=(IMAGES, 8)).astype(np.float32)
    owner = np.repeat(np.arange(IMAGES), CAPTIONS)
    captions = images[owner] + 2 * rng.normal(size=(len(owner), 8)).astype(np.float32)
    texts = [f"colour {i} said {c} times" for c, i in enumerate(owner)]
    scores = EmbeddingScores(images, captions)
    split = CaptionedImages(
        "colours & <shapes>",
        "test",
        tuple(path.name for path in paths),
        tuple(texts),
        owner,
        image_paths=tuple(paths),
    )
    source = Source(ScoredBy("a <b> model", "embeddings", "0" * 64), scores)
    request = Request(ks=(1, 5), resamples=100, folds=4, top=True)
    first = evaluate_sources([source], split, request)
    content = page_content(first, first.top)
    hardest = next(q for q in content["queries"] if q["way"] == "t2i")["row"]
    texts[hardest] = EVIL
    paths[content["queries"][0]["row"]].write_bytes(b"no picture")
    split = CaptionedImages(
        split.name, "test", split.image_ids, tuple(texts), owner, image_paths=tuple(paths)
    )
    return evaluate_sources([source], split, request, command="user-itr evaluate 'a <b>'")


def test_content_names_what_is_shown(result):
    content = page_content(result, result.top)
    ways = Counter(query["way"] for query in content["queries"])
    assert ways == {"i2t": 40, "t2i": 60}
    assert json.loads(json.dumps(content))["hubs"]["t2i"]["expected"] == pytest.approx(
        10 * CAPTIONS
    )
    for query in content["queries"]:
        sides = ("images", "captions") if query["way"] == "i2t" else ("captions", "images")
        assert query["row"] in content[sides[0]]
        assert {query["best"], *query["top"]} <= set(content[sides[1]])
        assert any(query["right"]) == (query["rank"] <= 5)
    ranks = [query["rank"] for query in content["queries"] if query["way"] == "t2i"]
    assert ranks == sorted(ranks, reverse=True)
    assert max(ranks) == result.ranks.t2i.ranks().max()
    pictures = [image["src"] for image in content["images"].values()]
    assert pictures.count(None) == 1


def test_hubs_against_counting():
    rng = np.random.default_rng(1)
    top = np.array([rng.choice(30, 4, replace=False, p=np.arange(30) / 435) for _ in range(50)])
    hubs = find_hubs(top, 30, wanted=5)
    counts = Counter(top.ravel().tolist())
    assert hubs.counts.tolist() == [count for _, count in counts.most_common(5)]
    assert [counts[row] for row in hubs.rows.tolist()] == hubs.counts.tolist()
    assert hubs.never == 30 - len(counts)
    values = [counts[row] for row in range(30)]
    mean = sum(values) / 30
    spread = (sum((v - mean) ** 2 for v in values) / 30) ** 0.5
    assert hubs.expected == pytest.approx(mean) == 50 * 4 / 30
    assert hubs.skewness == pytest.approx(sum((v - mean) ** 3 for v in values) / 30 / spread**3)
    even = find_hubs(np.arange(6).reshape(3, 2), 6)
    assert (even.skewness, len(even.rows)) == (0.0, 0)


def test_charts_count_every_query():
    ranks = np.array([1, 1, 2, 3, 4, 7, 8, 100])
    assert histogram(ranks, [1, 2, 4, 8, 16, 32, 64, 128]).tolist() == [2, 2, 2, 1, 0, 0, 1]
    for candidates in (1, 2, 9, 5000):
        ks = curve_ks(candidates)
        assert ks[0] == 1
        assert ks[-1] == min(candidates, 1000)
        assert ks == sorted(set(ks))


def test_one_file_that_says_what_it_must(result, tmp_path):
    page = tmp_path / "page.html"
    write_page(result, page)
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert not re.search(r'(src|href)="(?!data:)', text)  # nothing is loaded from elsewhere
    assert "colours &amp; &lt;shapes&gt;, test" in text
    assert "a &lt;b&gt; model" in text
    assert f"{result.metrics.rsum:.1f}" in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]
    titles = re.findall(r"<title>(image to text: R@5 .*?) %</title>", unescape(text))
    assert titles == [f"image to text: R@5 {result.metrics.i2t.recall[5]:.1f}"]


@pytest.fixture(scope="module")
def browser():
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


@pytest.fixture
def page(browser, result, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(result, path)
    browser.get(path.as_uri())
    yield Page(browser)
    assert browser.get_log("browser") == []


class Page:
    """The page as a person uses it."""

    def __init__(self, browser):
        self.browser = browser

    def find(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        [found] = self.find(selector)
        return found

    def ranks(self):
        texts = [one.text for one in self.find(".query .rank")]
        return [float(text.removeprefix("rank ").replace(",", "")) for text in texts]

    def choose(self, name, value):
        self.one(f"#{name} option[value='{value}']").click()


def test_opens_whole_and_safe(page):
    assert page.browser.title == "colours & <shapes>, test: retrieval evaluation"
    assert len(page.find("#queries > li")) == 12
    assert len(page.find("svg")) == 2
    assert page.find(".none")[0].text.startswith("no picture of picture-")
    page.choose("way", "t2i")
    assert page.find(".query p")[0].text == EVIL
    assert len(page.find("img[src='x']")) == 0
    broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert page.browser.execute_script(broken) == 0


def test_filters_order_and_more(page):
    page.choose("way", "i2t")
    assert {one.get_dom_attribute("data-way") for one in page.find(".query")} == {"i2t"}
    assert page.one("#count").text.startswith("12 of 40 queries")
    hard = page.ranks()
    assert hard == sorted(hard, reverse=True)
    page.choose("order", "easy")
    assert page.ranks() == sorted(page.ranks())
    for shown in (24, 36, 40):
        page.one("#more").click()
        assert len(page.find(".query")) == shown
    assert not page.one("#more").is_displayed()
    page.one("button[type=reset]").click()
    page.browser.implicitly_wait(2)
    assert page.one("#count").text.startswith("12 of 100")
    low, high = sorted(hard)[2], sorted(hard)[-2]
    page.one("#low").send_keys(f"{low:.0f}")
    page.one("#high").send_keys(f"{high:.0f}")
    assert all(low <= rank <= high for rank in page.ranks())
    page.one("#text").send_keys("SAID 5 TIMES")
    found = [one.text.lower() for one in page.find(".query")]
    assert all("said 5 times" in text for text in found)
    page.one("#text").send_keys(" no such thing")
    assert page.find(".query") == []
    assert page.one("#count").text.startswith("No query fits.")


def test_dark_and_light(page):
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = page.browser.execute_script(colour)
    page.one("#theme").click()
    assert page.browser.execute_script(colour) != before
    assert page.one("#theme").get_attribute("aria-pressed") == "true"
    page.one("#theme").click()
    assert page.browser.execute_script(colour) == before


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(page, width):
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    sizes = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, screen = page.browser.execute_script(sizes)
    assert screen == width
    assert content <= screen
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


THEMES = ["light", "dark"]


@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out_from_its_ground(theme):
    """WCAG 2.2 AA, 4.5 : 1, of every text colour on both grounds."""
    css = (Path(write_page.__code__.co_filename).parent / "page.css").read_text()
    block = css.split("}")[THEMES.index(theme)]
    colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6})", block))

    def luminance(name):
        values = [int(colours[name][i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for text, ground in (
        ("ink", "page"), ("ink", "card"), ("soft", "page"), ("soft", "card"),
        ("right", "card"), ("right", "right-soft"), ("ink", "right-soft"),
    ):  # fmt: skip
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
