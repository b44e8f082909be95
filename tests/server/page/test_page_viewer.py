"""The viewer of one photo, and the keys."""

from __future__ import annotations

import pytest


@pytest.fixture
def red(page):
    page.search("red")
    return page


def shown(page):
    return page.text("#viewer-name") if page.one("#viewer").is_displayed() else None


def test_a_click_shows_the_photo_and_its_facts(red, photos):
    names = red.names()
    red.find("#grid .tile a")[0].click()
    assert shown(red) == names[0]
    facts = red.wait(lambda: red.text("#viewer-facts"))
    assert "Changed" in facts
    assert "2023 at " in facts
    assert " × " in facts
    assert " kB" in facts
    assert str(photos) in facts
    assert red.text("#viewer-match").startswith("good match, ")
    file = red.one("#viewer-file").get_attribute("href")
    assert file.endswith("/file")
    red.wait(lambda: red.one("#viewer-image").get_attribute("src") == file)
    red.wait(lambda: red.run("return document.querySelector('#viewer-image').naturalWidth") > 0)
    captions = red.wait(lambda: red.text("#viewer-captions ul")).splitlines()
    assert captions[0] == "something red"
    assert " match, " in captions[1]
    assert "photo=" in red.browser.current_url
    red.one("#viewer-close").click()
    red.wait(lambda: "photo=" not in red.browser.current_url)
    red.wait(lambda: shown(red) is None)
    red.wait(lambda: red.focused() == names[0])


def test_neighbours_open_and_lead_back(red):
    red.find("#grid .tile a")[1].click()
    first = shown(red)
    near = red.wait(lambda: red.names("#viewer-neighbours"))
    assert len(near) == 12
    assert first not in near
    assert all(name.startswith("red-") for name in near[:5])
    red.find("#viewer-neighbours .tile a")[3].click()
    red.wait(lambda: shown(red) == near[3])
    red.press("ArrowRight")  # on among the neighbours
    red.wait(lambda: shown(red) == near[4])
    red.browser.back()
    red.wait(lambda: shown(red) == first)
    red.wait(lambda: len(red.names("#viewer-neighbours")) == 12)
    red.find("#viewer-neighbours .tile a")[0].click()
    red.wait(lambda: shown(red) == near[0])
    red.press("Escape")  # closes all of them at once
    red.wait(lambda: red.browser.current_url.endswith("?q=red"))
    assert shown(red) is None


def test_search_by_the_photo(red):
    red.find("#grid .tile a")[0].click()
    name = shown(red)
    red.one("#viewer-search").click()
    red.wait(lambda: red.text("#title") == "Photos like this one")
    red.settle()
    assert name not in red.names()
    assert all(other.startswith("red-") for other in red.names()[:5])
    assert shown(red) is None
    assert "similar=" in red.browser.current_url
    assert red.text("#chip .name") == name
    red.browser.back()
    red.wait(lambda: shown(red) == name)


def test_the_folder_of_the_photo(red):
    red.find("#grid .tile a")[0].click()
    red.wait(lambda: red.find("#viewer-facts dd button"))[0].click()
    red.wait(lambda: len(red.find("#active li")) == 1)
    assert "folder=" in red.browser.current_url
    red.settle()
    assert {int(name[-7:-4]) % 2 for name in red.names()[1:]} == {0}


def test_a_link_to_a_photo(red):
    red.find("#grid .tile a")[2].click()
    name, address = shown(red), red.browser.current_url
    red.browser.get(address)
    red.settle()
    red.wait(lambda: shown(red) == name)
    red.wait(lambda: red.text("#viewer-facts"))
    red.press("ArrowLeft")
    red.wait(lambda: shown(red) == red.names()[1])
    red.press("Escape")
    red.wait(lambda: red.browser.current_url.endswith("?q=red"))


def test_arrows_go_through_all_photos_of_a_search(red):
    red.run("scrollTo(0, document.body.scrollHeight)")
    red.wait(lambda: len(red.names()) > 8)
    red.run("[...document.querySelectorAll('#grid .tile:not([hidden]) a')].at(-8).click()")
    names = [shown(red)]
    for _ in range(9):  # over the end of the first page
        red.wait(lambda: red.one("#viewer-next").is_enabled())
        red.press("ArrowRight")
        names.append(shown(red))
    assert len(set(names)) == 10
    red.press("Escape")
    red.wait(lambda: red.focused() == names[-1])


def test_everything_by_keyboard(page):
    page.press("Tab", into=page.one("body"))
    assert page.run("return document.activeElement.className") == "skip"
    page.press("Enter")
    assert page.focused() == page.names()[0]
    page.run("document.activeElement.blur()")
    page.press("/", into=page.one("body"))
    assert page.run("return document.activeElement.id") == "q"
    page.press("blue", "Enter")
    page.wait(lambda: page.browser.current_url.endswith("?q=blue"))
    page.settle()
    names = page.names()
    page.press("ArrowDown")
    assert page.focused() == names[0]
    page.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert page.focused() == names[1]
    page.press("ArrowDown")
    below = page.focused()
    assert names.index(below) > 1
    top, bottom = page.run(
        "const y = (i) => document.querySelectorAll('#grid .tile')[i].offsetTop;"
        "return [y(1), y(arguments[0])]",
        names.index(below),
    )
    assert bottom > top
    page.press("ArrowUp", "Enter")
    assert shown(page) == names[1]
    page.press("ArrowRight")
    assert shown(page) == names[2]
    page.press("Escape")
    page.wait(lambda: page.focused() == names[2])
    page.press("?")
    assert page.one("#help").is_displayed()
    assert '"beach" - "people"' in page.text("#help")
    page.wait(lambda: "136 photos" in page.text("#about"))
    page.press("Escape")
    assert not page.one("#help").is_displayed()
    assert page.run("return document.querySelectorAll('#grid a[tabindex=\"0\"]').length") == 1


def test_names_of_files_are_only_text(page, photos):
    page.find("#grid .tile a")[0].click()
    assert shown(page) == next((photos / "odd").glob("*onerror*")).name
    page.wait(lambda: page.text("#viewer-facts"))
    assert page.find("img[src='x']") == []
    assert page.browser.title != "1"
