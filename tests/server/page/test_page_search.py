"""Searching: by words, by pictures, with filters; paging; the address."""

from __future__ import annotations

from itertools import pairwise

import pytest
from PIL import Image


def test_newest_photos_stand_first_in_justified_rows(page):
    names = page.names()
    assert names[0].endswith(".jpg")
    assert [int(name[-7:-4]) for name in names[1:]] == list(range(1, len(names)))
    assert page.text("#title") == "Newest photos"
    assert page.text("#count") == "All 136 photos in the index, newest first"
    assert page.find(".label") == []
    boxes = page.run(
        "return [...document.querySelectorAll('#grid .tile:not([hidden])')].map((tile) => {"
        " const {left, top, right, bottom} = tile.getBoundingClientRect();"
        " return [Math.round(top), Math.round(bottom), left, right] })"
    )
    left, right = page.run(
        "const box = document.querySelector('#grid').getBoundingClientRect();"
        "return [box.left, box.right]"
    )
    rows = {}
    for top, bottom, start, end in boxes:
        rows.setdefault((top, bottom), []).append((start, end))
    assert len({top for top, _ in rows}) == len(rows) > 5  # one height in a row
    for row in rows.values():
        assert row[0][0] == pytest.approx(left)
        assert row[-1][1] == pytest.approx(right)
        assert all(before[1] < after[0] for before, after in pairwise(row))
    sides = (
        "return [...document.querySelectorAll('#grid img')].filter((one) => one.naturalWidth)"
        ".map((one) => [one.clientWidth / one.clientHeight, one.naturalWidth / one.naturalHeight])"
    )
    shapes = page.wait(lambda: (found := page.run(sides))[5:] and found)
    assert all(shown == pytest.approx(real, rel=0.03) for shown, real in shapes)  # nothing cropped


def test_rows_of_any_shapes_fill_the_width(page):
    """The layout alone, on thousands of shapes: every row full, no photo distorted."""
    worst = page.browser.execute_async_script(
        """
        const done = arguments[0];
        import("/static/layout.js").then(({ Layout }) => {
          let seed = 1;
          const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
          let worst = { edge: 0, shape: 0, overfull: 0, lowest: Infinity, highest: 0, missing: 0 };
          for (let round = 0; round < 200; round += 1) {
            const width = 320 + Math.floor(1600 * random());
            const ratios = Array.from({ length: 40 }, () => (
              (400 + 600 * random()) / (400 + 600 * random())));
            const complete = round % 2 === 0;
            const sections = [{ start: 0, count: 40 }];
            const look = { height: 200, gap: 6, heading: 40 };
            const layout = new Layout(ratios, sections, width, look, complete);
            const last = layout.starts.length - 1;
            if (complete) worst.missing += 40 - layout.placed;
            for (let i = 0; i < layout.placed; i += 1) {
              const box = layout.box(i);
              const end = box.left + box.width;
              const ends = i + 1 === layout.placed || layout.rowOf(i + 1) !== layout.rowOf(i);
              worst.overfull = Math.max(worst.overfull, end - width);
              if (ends && !(complete && layout.rowOf(i) === last)) {
                worst.edge = Math.max(worst.edge, Math.abs(end - width));
              }
              worst.shape = Math.max(worst.shape, Math.abs(box.width - box.height * ratios[i]));
              worst.lowest = Math.min(worst.lowest, box.height);
              worst.highest = Math.max(worst.highest, box.height);
            }
          }
          done(worst);
        });
        """
    )
    assert worst["edge"] == worst["missing"] == 0
    assert worst["overfull"] <= 0
    assert worst["shape"] < 12  # pixels of rounding, all in the last photo of a row
    assert 120 < worst["lowest"] <= worst["highest"] < 360


def test_words_find_photos_and_say_how_well_they_match(page):
    page.search("red")
    assert all(name.startswith("red-") for name in page.names()[:12])
    assert page.text("#title") == "Best matches for “red”"
    assert page.browser.current_url.endswith("?q=red")
    assert page.browser.title.startswith("Best matches for “red”")
    first = page.find("#grid .tile a")[0]
    label = first.find_element("css selector", ".label")
    assert label.get_property("textContent").startswith("good match, ")
    assert label.get_property("textContent") in first.get_attribute("aria-label")
    assert label.value_of_css_property("opacity") == "0"
    page.press("ArrowDown", into=page.one("#q"))
    page.wait(lambda: label.value_of_css_property("opacity") == "1")


def test_a_search_of_weak_matches_and_unknown_words_says_so(page):
    page.search("no spaceship")
    assert page.text("#count").endswith(
        "All matches are weak. The model has never or hardly seen: spaceship."
    )
    page.search("red")
    assert page.text("#count").endswith(", best match first")


def test_the_last_of_two_quick_searches_is_shown(page):
    box = page.one("#q")
    for words in ("red", "blue"):
        box.clear()
        page.press(words, "Enter", into=box)
    page.wait(lambda: page.names()[0].startswith("blue-"))
    page.settle()
    assert page.text("#title") == "Best matches for “blue”"
    assert {name.split("-")[0] for name in page.names()[:8]} == {"blue"}


def test_less_of_something(page):
    page.search("blue")
    before = [name.split("-")[0] for name in page.every_name()]
    page.search('"blue" - "red"')
    assert page.text("#title") == 'Best matches for "blue" - "red"'
    after = [name.split("-")[0] for name in page.every_name()]
    assert set(after[:10]) == {"blue"}
    assert after.index("red") > before.index("red")


def test_more_photos_come_as_one_scrolls(page):
    page.search("green")
    assert page.text("#count").startswith("First ")

    def all_are_there():
        page.run("scrollTo(0, document.body.scrollHeight)")
        return page.text("#count") == "All 136 photos in the index, best match first"

    page.wait(all_are_there)
    names = page.every_name()
    assert len(set(names)) == len(names) == 136
    assert page.one("#count").get_attribute("role") == "status"


def test_back_forward_and_reload(page):
    page.search("red")
    page.run("scrollTo(0, 900)")
    red = page.names()
    page.search("blue")
    page.wait(lambda: page.run("return scrollY") == 0)
    page.browser.back()
    page.wait(lambda: page.names()[:9] == red[:9])
    page.wait(lambda: page.run("return scrollY") == 900)
    assert page.one("#q").get_property("value") == "red"
    page.browser.forward()
    page.wait(lambda: page.text("#title") == "Best matches for “blue”")
    page.browser.refresh()
    page.settle()
    assert page.names()[0].startswith("blue-")


@pytest.mark.parametrize("way", ["drop", "paste", "file"])
def test_search_by_a_picture(page, tmp_path, way):
    picture = tmp_path / "mine.png"
    Image.new("RGB", (900, 700), (20, 40, 220)).save(picture)
    if way == "file":
        page.one("#file").send_keys(str(picture))
    else:
        page.hand_over(picture, way, kind="image/png")
    page.wait(lambda: page.text("#title") == "Photos like this one")
    page.settle()
    assert all(name.startswith("blue-") for name in page.names()[:8])
    assert page.text("#chip .name") == "mine.png"
    assert not page.one("#drop").is_displayed()
    pixel = "return [...document.querySelector('#chip canvas').getContext('2d')"
    page.wait(lambda: page.run(pixel + ".getImageData(9, 9, 1, 1).data]")[2] > 200)


def test_a_picture_with_words_pages_reload_and_removal(page, tmp_path):
    picture = tmp_path / "mine.jpg"
    Image.new("RGB", (30, 20), (220, 20, 20)).save(picture)
    page.hand_over(picture, "drop")
    page.wait(lambda: page.text("#title") == "Photos like this one")
    page.settle()
    page.run("scrollTo(0, document.body.scrollHeight)")
    page.wait(lambda: page.text("#count").startswith("First 120 of all 136 photos"))
    names = page.every_name()
    assert len(set(names)) == len(names) > 100
    page.search("green")
    page.wait(lambda: page.text("#title") == "Photos like this one, and “green”")
    assert {name.split("-")[0] for name in page.names()[:16]} == {"red", "green"}
    page.browser.refresh()  # the picture is kept with the entry of the history
    page.settle()
    assert {name.split("-")[0] for name in page.names()[:16]} == {"red", "green"}
    assert page.text("#chip .name") == "mine.jpg"
    page.one("#chip button").click()
    page.wait(lambda: page.text("#title") == "Best matches for “green”")
    assert not page.one("#chip").is_displayed()


def test_a_link_without_its_picture_says_so(page):
    page.open("/?upload=1")
    assert "drop the picture again" in page.text("#notice")
    assert page.text("#title") == "Newest photos"


def test_filters(page, photos):
    page.one("#filters-button").click()
    assert page.one("#filters-button").get_attribute("aria-expanded") == "true"
    page.one(f"#folders [title='{photos / 'even'}']").click()
    page.one("#filters .main").click()
    page.wait(lambda: len(page.find("#active li")) == 1)
    page.settle()
    assert not page.one("#filters").is_displayed()
    page.wait(lambda: page.names()[:3] == [f"{c}-{n:03}.jpg" for c, n in ODD_ONES])
    page.one("#filters-button").click()
    page.run("document.querySelector('[name=after]').value = '2023-10-01'")
    page.run("document.querySelector('[name=before]').value = '2023-10-31'")
    page.one("#filters option[value='1080']").click()
    page.one("#filters .main").click()
    page.wait(lambda: len(page.find("#active li")) == 4)
    page.settle()
    for field in ("after=2023-10-01", "before=2023-10-31", "side=1080", "folder="):
        assert field in page.browser.current_url
    few = page.text("#title"), page.text("#message")
    assert few[1].startswith("No photo fits these filters")
    page.find("#active button")[2].click()  # the folder's
    page.wait(lambda: len(page.find("#active li")) == 3)
    page.settle()
    large = page.names()
    assert 0 < len(large) < 8
    assert {int(name[-7:-4]) % 6 for name in large} == {4}
    page.one("#filters-button").click()
    page.one("#filters [type=reset]").click()
    page.wait(lambda: page.text("#count").startswith("All 136 photos"))


def test_from_later_than_until(page):
    """The days of the form change places; those of a link are told about, with a way on."""
    page.one("#filters-button").click()
    page.run("document.querySelector('[name=after]').value = '2023-10-31'")
    page.run("document.querySelector('[name=before]').value = '2023-10-01'")
    page.one("#filters .main").click()
    page.wait(lambda: page.browser.current_url.endswith("?after=2023-10-01&before=2023-10-31"))
    page.wait(lambda: page.text("#count") == "31 photos fit the filters, newest first")


ODD_ONES = (("green", 1), ("yellow", 3), ("orange", 5))
