"""The tree of folders, suggestions while typing, and files found by their names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from colour_encoder import PALETTE, ColourEncoder, paint

from user_itr.search.index import ImageIndex
from user_itr.search.sentences import SentenceStore

FOLDERS = {"Italy/2019 Rom": 3, "Italy/2019 Rom/raw": 2, "Italy": 1, "Spain": 2}


@pytest.fixture(scope="module")
def foldered(tmp_path_factory: pytest.TempPathFactory, encoder: ColourEncoder) -> ImageIndex:
    home = tmp_path_factory.mktemp("finding")
    for folder, photos in FOLDERS.items():
        for number in range(photos):
            name = f"{folder.replace('/', '-')}-{number}.png"
            paint(home / "photos" / folder / name, list(PALETTE)[number], (90, 60))
    index = ImageIndex.create_or_open(home / "index", encoder, "model")
    index.update(home / "photos", encoder)
    SentenceStore(index).replace(["something red", "a purple Italian house", "nothing"], encoder)
    return index


@pytest.fixture
def finding(page, serve: Callable, foldered: ImageIndex):
    page.url = serve(foldered).url
    page.open()
    return page


def items(page) -> list[list]:
    return page.run(
        "return [...document.querySelectorAll('#folders [role=treeitem]')].slice(1)"
        ".map((one) => [one.ariaLabel, Number(one.ariaLevel), one.ariaExpanded])"
    )


def test_folders_are_a_tree_with_counts(finding):
    finding.one("#filters-button").click()
    finding.wait(lambda: len(items(finding)) == 3)
    assert items(finding) == [
        ["photos, 8 photos", 1, "true"],
        ["Italy, 6 photos", 2, "false"],
        ["Spain, 2 photos", 2, None],
    ]
    finding.press(
        "ArrowDown", "ArrowDown", "ArrowRight", into=finding.one("#folders [tabindex='0']")
    )
    assert len(items(finding)) == 4
    finding.press("ArrowRight", "Enter")
    assert finding.text("#folders [aria-selected=true] bdi") == "2019 Rom"
    finding.one("#filters .main").click()
    finding.wait(lambda: finding.text("#count") == "5 photos fit the filters, newest first")
    finding.one("#filters-button").click()
    finding.wait(lambda: len(items(finding)) == 4)  # what is chosen is seen
    assert finding.text("#folders [aria-selected=true] bdi") == "2019 Rom"
    finding.press("ArrowLeft", "ArrowLeft", into=finding.one("#folders [tabindex='0']"))
    assert len(items(finding)) == 3
    finding.press("Home", "Enter")
    finding.one("#filters .main").click()
    finding.wait(lambda: finding.text("#count").startswith("All 8 photos"))


def test_files_and_folders_are_found_by_name_apart_from_what_photos_show(finding):
    finding.search("italy")
    finding.wait(lambda: finding.text("#names-title") == "By name: 6 files, 1 folder")
    assert finding.text("#contents-title") == "By what the photos show"
    names = finding.wait(lambda: (found := finding.names("#names-files"))[5:] and found)
    assert all(name.startswith("Italy-") for name in names)
    assert not finding.one("#names-all").is_displayed()
    finding.one("#names-folders button").click()
    finding.wait(lambda: finding.text("#count") == "6 photos fit the filters, newest first")
    assert not finding.one("#names").is_displayed()
    finding.search("zebra")
    assert not finding.one("#names").is_displayed()


def test_all_files_of_a_name_are_a_list_of_their_own(page):
    page.search("red")
    page.wait(lambda: page.text("#names-title") == "By name: more than 12 files")
    page.one("#names-all").click()
    page.wait(lambda: page.text("#title").endswith("named “red”"))
    page.settle()
    assert page.browser.current_url.endswith("?name=red")
    assert page.text("#count") == "17 photos, newest first"
    page.search("blue")
    page.wait(lambda: page.browser.current_url.endswith("?q=blue"))


def test_suggestions_while_typing(finding):
    box = finding.one("#q")
    finding.press("i", "t", "a", "l", into=box)
    finding.wait(lambda: len(finding.find("#suggestions [role=option]")) == 2)
    assert finding.text("#suggestions").splitlines() == [
        "Italy",
        "6 photos",
        "a purple Italian house",
    ]
    assert box.get_attribute("aria-expanded") == "true"
    finding.press("ArrowDown", "ArrowDown", into=box)
    active = box.get_attribute("aria-activedescendant")
    assert finding.text(f"#{active}") == "a purple Italian house"
    finding.press("Enter", into=box)
    finding.wait(lambda: "purple" in finding.text("#title"))
    assert box.get_attribute("aria-expanded") == "false"
    box.clear()
    finding.press("p", "u", into=box)
    finding.wait(lambda: "searched before" in finding.text("#suggestions"))
    finding.press("Escape", into=box)
    assert not finding.one("#suggestions").is_displayed()
    assert box.get_property("value") == "pu"
    finding.press("r", "ArrowUp", into=box)
    finding.wait(lambda: box.get_attribute("aria-activedescendant"))
    finding.press("Enter", into=box)  # the last one: forget
    finding.wait(lambda: "searched before" not in finding.text("#suggestions"))
    assert finding.run("return localStorage.getItem('user-itr-recent')") is None


def test_an_empty_page_has_searches_to_begin_with(finding):
    finding.wait(lambda: finding.text("#examples") == "something red")
    finding.one("#examples button").click()
    finding.wait(lambda: "something red" in finding.text("#title"))
    assert not finding.one("#examples").is_displayed()


def test_recent_searches_are_never_sent(finding):
    finding.search("a secret thing")
    finding.open()
    finding.one("#q").click()
    finding.wait(lambda: "a secret thing" in finding.text("#suggestions"))
    asked = finding.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert not [one for one in asked if "secret" in one]
