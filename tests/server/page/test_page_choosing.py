"""Several photos chosen, and what is done with them: downloads, albums, favourites, hiding."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from colour_encoder import PALETTE, ColourEncoder, paint

from user_itr.search.albums import Albums
from user_itr.search.index import ImageIndex


@pytest.fixture
def own(tmp_path: Path, encoder: ColourEncoder) -> ImageIndex:
    """Eight colours, of two of which there are copies."""
    for number, colour in enumerate(PALETTE):
        paint(tmp_path / "photos" / f"{colour}.png", colour, (160 + 10 * number, 120))
    for name in ("red copy", "red once more"):
        shutil.copy(tmp_path / "photos" / "red.png", tmp_path / "photos" / f"{name}.png")
    index = ImageIndex.create_or_open(tmp_path / "index", encoder, "model")
    index.update(tmp_path / "photos", encoder)
    return index


@pytest.fixture
def at(own, serve, browser, page):
    """The page over that index."""
    page.url = serve(own).url
    page.open()
    return page


def chosen(page) -> set[str]:
    """Names of the chosen photos, by what assistive technology is told."""
    script = (
        "return [...document.querySelectorAll('#grid .check[aria-checked=true]')]"
        ".map((check) => check.closest('.tile').querySelector('img').alt)"
    )
    return set(page.run(script))


def counted(page) -> str:
    return page.run("return document.getElementById('chosen-status').textContent")


def tile(page, name: str):
    script = (
        "return [...document.querySelectorAll('#grid .tile')]"
        ".find((tile) => tile.querySelector('img').alt === arguments[0])"
    )
    return page.wait(lambda: page.run(script, name))


def check(page, name: str, *, shift: bool = False) -> None:
    page.run(
        "arguments[0].querySelector('.check').dispatchEvent(new MouseEvent('click',"
        " { bubbles: true, cancelable: true, shiftKey: arguments[1] }))",
        tile(page, name),
        shift,
    )


def test_check_marks_and_ranges(at):
    names = at.names()
    check(at, names[1])
    assert chosen(at) == {names[1]}
    assert counted(at) == "1 photo chosen"
    assert at.one("#chosen").is_displayed()
    check(at, names[4], shift=True)
    assert chosen(at) == set(names[1:5])
    at.find("#grid .tile a")[2].click()
    assert chosen(at) == {names[1], names[3], names[4]}, "a click chooses, and opens nothing"
    at.press("Escape")
    assert chosen(at) == set()
    assert counted(at) == ""
    assert not at.one("#chosen").is_displayed()
    at.find("#grid .tile a")[2].click()
    at.wait(lambda: at.one("#viewer").is_displayed())


def test_keys(at):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    names = at.names()
    at.press("ArrowRight", into=at.one("body"))
    at.press("ArrowRight", "Space")
    assert chosen(at) == {names[1]}
    ActionChains(at.browser).key_down(Keys.SHIFT).send_keys(Keys.RIGHT, Keys.RIGHT).key_up(
        Keys.SHIFT
    ).perform()
    at.wait(lambda: chosen(at) == set(names[1:4]))
    at.press("Space")
    assert chosen(at) == set(names[1:3])
    ActionChains(at.browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).perform()
    at.wait(lambda: chosen(at) == set(names))
    box = at.one("#q")
    box.send_keys("red")
    ActionChains(at.browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).perform()
    assert at.run("return getSelection().toString() || document.activeElement.selectionEnd") in (
        "red",
        3,
    )


def test_dragging_from_a_check_mark(at):
    from selenium.webdriver.common.action_chains import ActionChains

    names = at.names()
    first, last = tile(at, names[0]), tile(at, names[3])
    mark = first.find_element("css selector", ".check")
    chain = ActionChains(at.browser).move_to_element(first).click_and_hold(mark)
    chain.move_to_element(tile(at, names[1])).move_to_element(last).release().perform()
    at.wait(lambda: chosen(at) == set(names[:4]))
    check(at, names[0])
    assert chosen(at) == set(names[1:4]), "the next click counts again"


def test_a_long_press_of_a_finger(at):
    names = at.names()
    press = """
    const [tile, kind] = arguments, { left, top } = tile.getBoundingClientRect();
    const options = { bubbles: true, cancelable: true, clientX: left + 60, clientY: top + 60 };
    const event = kind === "click" ? new MouseEvent(kind, options)
      : new PointerEvent(kind, { ...options, pointerType: "touch" });
    tile.querySelector("a").dispatchEvent(event);
    """
    at.run(press, tile(at, names[2]), "pointerdown")
    at.wait(lambda: chosen(at) == {names[2]})
    at.run(press, tile(at, names[2]), "pointerup")
    at.run(press, tile(at, names[2]), "click")
    assert chosen(at) == {names[2]}
    assert not at.one("#viewer").is_displayed()
    at.run(press, tile(at, names[3]), "pointerdown")
    at.run(press, tile(at, names[3]), "pointerup")
    at.run(press, tile(at, names[3]), "click")
    assert chosen(at) == set(names[2:4])


def test_one_zip_file(at, own, tmp_path):
    at.browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior",
        {"behavior": "allow", "downloadPath": str(tmp_path / "downloads")},
    )
    (tmp_path / "downloads").mkdir()
    for name in ("blue.png", "green.png"):
        check(at, name)
    at.one("#chosen-download").click()
    file = tmp_path / "downloads" / "photos.zip"
    at.wait(file.exists)
    with zipfile.ZipFile(file) as found:
        assert sorted(found.namelist()) == ["blue.png", "green.png"]
        assert found.read("blue.png") == (tmp_path / "photos" / "blue.png").read_bytes()
    assert at.names(), "the page stays"


def test_albums_and_favourites(at, own):
    for name in ("blue.png", "green.png"):
        check(at, name)
    at.one("#chosen-album").click()
    at.wait(lambda: at.one("#albums").is_displayed())
    at.one("#albums input").send_keys("Summer 2024")
    at.press("Enter", into=at.one("#albums input"))
    at.wait(lambda: "put into" in at.text("#notice"))
    assert chosen(at) == set()
    [album] = Albums(own).list()
    assert (album.name, album.photos) == ("Summer 2024", 2)
    check(at, "blue.png")
    at.one("#chosen-favourite").click()
    at.wait(lambda: len(at.find("#grid .star:not([hidden])")) == 1)
    check(at, "red.png" if "red.png" in at.names() else "red copy.png")
    at.one("#chosen-album").click()
    at.wait(lambda: at.find("#albums li button"))
    at.one("#albums li button").click()
    at.wait(lambda: Albums(own).list()[0].photos == 5)
    at.open(f"/?collection={album.id}")
    at.wait(lambda: at.text("#active") == "Summer 2024")
    assert {"blue.png", "green.png"} < set(at.names())
    check(at, "green.png")
    at.one("#chosen-out").click()
    at.wait(lambda: "green.png" not in at.names() and at.names())
    at.one("#album-edit").click()
    name = at.one("#album input")
    name.clear()
    at.press("Winter", "Enter", into=name)
    at.wait(lambda: at.text("#active") == "Winter")
    at.one("#album-edit").click()
    at.one("#album-delete").click()
    at.wait(lambda: len(at.names()) == len(PALETTE) + 2)
    assert Albums(own).list() == []
    at.open("/?collection=favourites")
    assert at.names() == ["blue.png"]


def test_hidden_photos_leave_the_page_and_come_back(at, own):
    check(at, "blue.png")
    at.one("#chosen-hide").click()
    at.wait(lambda: at.names() and "blue.png" not in at.names())
    at.open("/?collection=hidden")
    assert at.names() == ["blue.png"]
    check(at, "blue.png")
    assert at.text("#chosen-hide") == "Show again"
    at.one("#chosen-hide").click()
    at.wait(lambda: Albums(own).hidden() == 0)
    at.open()
    assert "blue.png" in at.names()


@pytest.mark.parametrize(("address", "shown"), [("/?q=red", 8), ("/", 10)])
def test_copies_are_counted_and_open(at, address, shown):
    """A search shows the first of them alone; the list of all days has each at its place."""
    at.open(address)
    at.wait(lambda: len(at.names()) == shown)
    badge = at.one("#grid .copies")
    assert badge.get_attribute("aria-label") == "Show 2 copies of this photo"
    assert badge.text == "3"
    badge.click()
    at.wait(lambda: at.one("#viewer").is_displayed())
    seen = {at.text("#viewer-name")}
    for _ in range(2):
        at.one("#viewer-next").click()
        at.wait(lambda: at.text("#viewer-name") not in seen)
        seen.add(at.text("#viewer-name"))
    assert seen == {"red.png", "red copy.png", "red once more.png"}
    assert not at.one("#viewer-next").is_enabled()


def test_a_change_that_fails_is_told(at, own, monkeypatch):
    check(at, "blue.png")
    at.run(
        "window.fetch = async () => new Response(JSON.stringify({ error: 'no room.' }),"
        " { status: 400 })"
    )
    at.one("#chosen-favourite").click()
    at.wait(lambda: at.text("#notice") == "No room.")
    assert chosen(at) == {"blue.png"}
