"""All photos by day: headings, the timeline, and a list of any length of which little is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from colour_encoder import PALETTE, ColourEncoder, paint
from PIL import ExifTags, Image

from user_itr.search.index import ImageIndex

DAYS = 40
FIRST = datetime(2024, 5, 3, 12)  # the latest; each day before it is five weeks earlier
EACH = 7
UNDATED = ("scan.jpg", "from-the-future.jpg", "clock-not-set.jpg")


def taken(when: datetime) -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{when:%Y:%m:%d %H:%M:%S}"
    return exif


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory, encoder: ColourEncoder) -> ImageIndex:
    """280 photos of 40 days, and three without a date that can be."""
    home = tmp_path_factory.mktemp("days")
    for number in range(DAYS * EACH):
        day, of_day = divmod(number, EACH)
        when = FIRST - timedelta(days=35 * day, minutes=of_day)
        colour = list(PALETTE)[number % 8]
        size = ((90, 60), (60, 90), (80, 80))[number % 3]
        paint(home / "photos" / f"{number:03}.jpg", colour, size, exif=taken(when))
    for name, when in zip(UNDATED, (None, datetime(2199, 1, 1), datetime(1800, 1, 1)), strict=True):
        paint(home / "photos" / name, "red", (90, 60), exif=taken(when) if when else b"")
    index = ImageIndex.create_or_open(home / "index", encoder, "model")
    index.update(home / "photos", encoder)
    return index


@pytest.fixture
def days(page, serve: Callable, dated: ImageIndex):
    page.url = serve(dated).url
    page.prefer(color_scheme="light", reduced_motion="reduce")
    page.open()
    return page


def headings(page) -> list[str]:
    return page.run("return [...document.querySelectorAll('#grid h3')].map((one) => one.innerText)")


def test_days_are_headings_and_photos_without_a_date_stand_at_the_end(days):
    assert headings(days)[:2] == ["Fri, 3 May 2024", "Fri, 29 Mar 2024"]
    assert days.text("#count") == "All 283 photos in the index, newest first"
    names = days.every_name()
    assert names[:-3] == [f"{number:03}.jpg" for number in range(DAYS * EACH)]
    assert sorted(names[-3:]) == sorted(UNDATED)
    assert headings(days)[-1] == "Without a date"


def test_a_day_is_a_list_that_its_heading_names(days):
    told = days.run(
        "const list = document.querySelector('#grid ul');"
        "const tiles = [...list.querySelectorAll('li')];"
        "return [document.getElementById(list.getAttribute('aria-labelledby')).innerText,"
        " tiles.map((one) => [one.ariaPosInSet, one.ariaSetSize].join(' of '))]"
    )
    assert told == ["Fri, 3 May 2024", [f"{number} of 7" for number in range(1, 8)]]


def test_no_day_overlaps_another_at_any_width(days):
    script = """
    const boxes = [...document.querySelectorAll("#grid .tile, #grid h3")].map(
      (one) => one.getBoundingClientRect());
    return boxes.some((one, i) => boxes.some((other, j) => i < j
      && one.left < other.right && other.left < one.right
      && one.top < other.bottom && other.top < one.bottom))
      || boxes.some((one) => one.left < 0 || one.right > document.documentElement.clientWidth);
    """
    for width in (320, 390, 800, 1280, 3840):
        days.resize(width)
        days.wait(lambda: days.run("return document.querySelector('#grid ul') !== null"))
        days.wait(lambda: not days.run(script))


def test_only_what_is_near_the_window_is_in_the_page(days):
    days.resize(390, 700)
    for share in (0, 0.5, 1):
        days.run("scrollTo(0, arguments[0] * document.body.scrollHeight)", share)
        days.wait(lambda: 5 < len(days.find("#grid .tile")) < 80)
    days.wait(lambda: set(UNDATED) <= set(days.names()))


def test_the_timeline_jumps_to_any_month(days):
    strip = days.one("#timeline")
    assert strip.get_attribute("aria-valuetext") == "May 2024, 7 photos"
    years = days.run("return [...document.querySelectorAll('.year')].map((one) => one.innerText)")
    assert years == ["2024", "2023", "2022", "2021", "2020"]
    days.press("ArrowDown", into=strip)
    days.wait(lambda: strip.get_attribute("aria-valuetext") == "Mar 2024, 7 photos")
    days.press("PageDown", into=strip)
    days.wait(lambda: strip.get_attribute("aria-valuetext") == "Dec 2023, 7 photos")
    days.press("PageUp", into=strip)
    days.wait(lambda: strip.get_attribute("aria-valuetext") == "May 2024, 7 photos")
    days.press("Home", into=strip)
    days.wait(lambda: "Without a date" in headings(days))
    days.press("End", into=strip)
    days.wait(lambda: days.run("return scrollY") < 100)
    days.run(
        "const {left, top, height} = arguments[0].getBoundingClientRect();"
        "const at = {clientX: left + 9, clientY: top + height / 2, bubbles: true, pointerId: 1};"
        "arguments[0].setPointerCapture = () => {};"  # no real pointer is down
        "arguments[0].dispatchEvent(new PointerEvent('pointerdown', {button: 0, ...at}))",
        strip,
    )
    days.wait(lambda: any("2022" in one for one in headings(days)))
    days.wait(lambda: "140.jpg" in days.names())
    assert int(strip.get_attribute("aria-valuenow")) == pytest.approx(20, abs=3)


def test_a_search_has_neither_days_nor_timeline(days):
    days.search("red")
    assert headings(days) == []
    assert not days.one("#timeline").is_displayed()


def test_keys_go_through_photos_that_are_not_there_yet(days):
    days.press("ArrowRight", into=days.one("body"))
    assert days.focused() == "000.jpg"
    days.press("End")
    days.wait(lambda: days.focused() in UNDATED)
    days.press("PageUp", "PageUp", "PageUp")
    days.wait(lambda: days.focused().removesuffix(".jpg").isdigit())
    there = int(days.focused()[:3])
    assert 100 < there < 275
    days.press("ArrowDown")
    days.wait(lambda: days.focused())
    below = int(days.focused()[:3])
    assert 0 < below - there <= EACH
    days.press("Home")
    days.wait(lambda: days.focused() == "000.jpg")
    assert len(days.find("#grid a[tabindex='0']")) == 1


def test_back_and_reload_restore_the_place(days):
    days.run("scrollTo(0, document.body.scrollHeight / 2)")
    days.wait(lambda: not days.find("#grid .tile:not([data-id])"))
    there, names = days.run("return scrollY"), days.names()
    days.search("red")
    days.browser.back()
    days.wait(lambda: days.run("return scrollY") == there)
    days.wait(lambda: days.names() == names)
    days.browser.refresh()
    days.settle()
    days.wait(lambda: days.run("return scrollY") == there)
    days.wait(lambda: days.names() == names)


def test_the_viewer_goes_on_where_the_photos_are_not_there_yet(days):
    days.press("End", into=days.one("#grid a[tabindex='0']"))
    days.wait(lambda: days.focused() in UNDATED)
    days.press("Enter")
    shown = [days.wait(lambda: days.text("#viewer-name"))]
    for _ in range(60):  # over the beginning of its page
        days.wait(lambda: days.one("#viewer-previous").is_enabled())
        days.press("ArrowLeft")
        shown.append(days.text("#viewer-name"))
    assert shown[-1] == "222.jpg"
    assert len(set(shown)) == 61
    days.press("Escape")
    days.wait(lambda: days.focused() == "222.jpg")


def test_a_resize_keeps_the_photo_at_the_top(days):
    days.run("scrollTo(0, document.body.scrollHeight / 2)")
    days.wait(lambda: not days.find("#grid .tile:not([data-id])"))
    first = (
        "return [...document.querySelectorAll('#grid .tile')].find("
        "(one) => one.getBoundingClientRect().bottom > 68).place"
    )
    before = days.run(first)
    days.resize(700)
    days.wait(lambda: days.run("return document.querySelector('#grid').clientWidth") < 690)
    days.wait(lambda: abs(days.run(first) - before) <= EACH)


def test_photos_indexed_meanwhile_are_seen(days, dated, encoder, tmp_path: Path):
    paint(tmp_path / "photos" / "newest.jpg", "blue", (90, 60), exif=taken(datetime(2025, 1, 1)))
    dated.update(tmp_path / "photos", encoder)
    try:
        days.run("scrollTo(0, document.body.scrollHeight)")
        days.wait(lambda: days.text("#count").startswith("All 284 photos"))
        days.run("scrollTo(0, 0)")
        days.wait(lambda: days.names()[:1] == ["newest.jpg"])
        assert headings(days)[0] == "Wed, 1 Jan 2025"
    finally:
        dated.forget(tmp_path / "photos")
