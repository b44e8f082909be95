"""What the page says: titles, counts, alternative texts, names in any script; what Esc closes."""

from __future__ import annotations

import pytest
from colour_encoder import paint

from user_itr.search.index import ImageIndex

ARABIC = "صورة شمسية.jpg"
RIGHT_TO_LEFT_FOLDER = "תמונות"


@pytest.fixture
def right_to_left(page, serve, encoder, tmp_path):
    """The page of one photo whose name and folder are written from right to left."""
    paint(tmp_path / "photos" / RIGHT_TO_LEFT_FOLDER / ARABIC, "red", (300, 200))
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(tmp_path / "photos" / RIGHT_TO_LEFT_FOLDER, encoder)
    page.url = serve(index).url
    page.open()
    return page


def test_the_title_of_the_tab_follows_what_is_shown(page):
    assert page.browser.title == "user-itr: your photos"
    page.search("red")
    assert page.browser.title == "Best matches for “red” – user-itr"
    page.find("#grid .tile a")[0].click()
    first, second = page.names()[:2]
    page.wait(lambda: page.browser.title == f"{first} – user-itr")
    page.press("ArrowRight")
    page.wait(lambda: page.browser.title == f"{second} – user-itr")
    page.press("Escape")
    page.wait(lambda: page.browser.title == "Best matches for “red” – user-itr")
    page.browser.back()
    page.wait(lambda: page.browser.title == "user-itr: your photos")


def test_the_count_says_of_how_many_and_in_which_order(page):
    assert page.text("#count") == "All 136 photos in the index, newest first"
    page.search("red")
    assert page.text("#count") == "First 60 of all 136 photos in the index, best match first"
    page.open("/?after=2023-10-01&before=2023-10-31")
    assert page.text("#count") == "31 photos fit the filters, newest first"
    page.open("/?q=red&after=2023-08-01")
    assert page.text("#count").startswith("First 60 photos that fit the filters, best match first")


def test_the_photo_is_described_in_words(page):
    page.search("red")
    name = page.names()[0]
    page.find("#grid .tile a")[0].click()
    image = page.one("#viewer-image")
    page.wait(lambda: image.get_attribute("alt") == f"something red ({name})")


def test_sentences_that_do_not_fit_are_not_shown(page):
    page.search("red")
    page.find("#grid .tile a")[0].click()
    page.wait(lambda: page.text("#viewer-captions ul"))
    shown = (
        "return [...document.querySelectorAll('#viewer-captions li span')].map((e) => e.innerText)"
    )
    assert page.run(shown) == ["something red"]


def test_names_from_right_to_left_leave_the_sentence_around_them_in_order(right_to_left):
    page = right_to_left
    page.find("#grid .tile a")[0].click()
    page.wait(lambda: page.text("#viewer-facts"))
    way = "return getComputedStyle(document.querySelector(arguments[0])).direction"
    assert page.run(way, "#viewer-name") == "rtl"
    assert page.run(way, "#viewer-facts button span") == "ltr"
    places = page.run(
        "return [...document.querySelectorAll('#viewer-facts button bdi')]"
        ".map((folder) => folder.getClientRects()[0]).map((box) => [box.top, box.left])"
    )
    assert places == sorted(places)
    assert (
        page.run("return document.querySelector('#viewer-facts button bdi:last-child').innerText")
        == RIGHT_TO_LEFT_FOLDER
    )
    assert page.browser.title == f"\u2068{ARABIC}\u2069 – user-itr"
    page.press("Escape")
    page.search("אדום")
    assert page.text("#title") == "Best matches for \u2068“אדום”\u2069"
    assert page.run(way, "#q") == "rtl"


def test_applied_filters_keep_the_words_that_were_typed(page):
    page.press("green", into=page.one("#q"))
    page.one("#filters-button").click()
    page.run("document.querySelector('[name=after]').value = '2023-08-01'")
    page.one("#filters .main").click()
    page.wait(lambda: page.text("#title") == "Best matches for “green”")
    assert page.browser.current_url.endswith("?q=green&after=2023-08-01")
    page.settle()
    page.find("#active button")[0].click()
    page.wait(lambda: page.browser.current_url.endswith("?q=green"))


def test_escape_closes_what_was_opened_last(page):
    page.search("red")
    page.one("#filters-button").click()
    page.hand_over(None, "drop", name="letter.txt", kind="text/plain")
    page.run("document.querySelector('#q').focus()")
    notice, filters, viewer = (page.one(f"#{name}") for name in ("notice", "filters", "viewer"))
    page.wait(notice.is_displayed)
    page.press("Escape")
    assert (notice.is_displayed(), filters.is_displayed()) == (False, True)
    page.press("Escape")
    assert not filters.is_displayed()
    assert page.run("return document.activeElement.id") == "filters-button"
    page.run("arguments[0].click()", page.find("#grid .tile a")[0])
    page.press("?")
    page.wait(page.one("#help").is_displayed)
    page.press("Escape")
    assert (page.one("#help").is_displayed(), viewer.is_displayed()) == (False, True)
    page.press("Escape")
    page.wait(lambda: not viewer.is_displayed())
    assert page.one("#q").get_property("value") == "red"
