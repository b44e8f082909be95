"""Zooming, full screen, slide show and download in the viewer."""

from __future__ import annotations

import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains

from user_itr.search.index import ImageIndex

SIZE = (4000, 3000)
LOOK = """
const image = document.querySelector("#viewer-image");
const { a, e, f } = new DOMMatrix(getComputedStyle(image).transform);
return { scale: a, right: e, down: f,
         high: image.naturalHeight };
"""
LOADED = """
return performance.getEntriesByType("resource").map((one) => one.name)
  .filter((name) => name.endsWith(arguments[0])).length
"""


@pytest.fixture(scope="module")
def large(serve, encoder, tmp_path_factory):
    """A server of two photos that are larger than a screen, one in a format of no browser."""
    folder = tmp_path_factory.mktemp("large")
    for name, colour in (("a.jpg", "red"), ("b.tif", "green")):
        image = Image.new("RGB", SIZE, colour)
        image.paste((0, 0, 255), (0, 0, 400, 300))
        (folder / "photos").mkdir(exist_ok=True)
        image.save(folder / "photos" / name)
    index = ImageIndex.create_or_open(folder / "index", encoder, "model")
    index.update(folder / "photos", encoder)
    return serve(index)


@pytest.fixture
def photo(page, large):
    """A large photo in the viewer, whose preview has come."""
    page.url = large.url
    page.open("/?q=red")
    page.find("#grid .tile a")[0].click()
    page.wait(lambda: look(page)["high"] == 1440)
    return page


def look(page):
    return page.run(LOOK)


def scale(page):
    return look(page)["scale"]


def middle(page):
    """Actions that begin in the middle of the stage."""
    stage = page.one(".stage")
    return ActionChains(page.browser, duration=0).move_to_element(stage), stage


def test_the_file_is_loaded_only_when_the_preview_is_zoomed_beyond(photo):
    assert photo.run(LOADED, "/file") == 0
    photo.press("+")
    assert scale(photo) == 1.5
    for _ in range(3):
        photo.press("+")
    photo.wait(lambda: look(photo)["high"] == SIZE[1])
    assert photo.run(LOADED, "/file") == 1


def test_formats_of_no_browser_are_zoomed_into_as_the_server_decodes_them(photo):
    photo.press("ArrowRight")
    photo.wait(lambda: photo.text("#viewer-name") == "b.tif")
    photo.wait(lambda: look(photo)["high"] == 1440)
    for _ in range(4):
        photo.press("+")
    photo.wait(lambda: look(photo)["high"] == 2160)


def test_the_wheel_zooms_where_the_pointer_is(photo):
    _, stage = middle(photo)
    origin = photo.run(
        "const { left, top, width, height } = arguments[0].getBoundingClientRect();"
        "return [left + width / 2 + 200, top + height / 2]",
        stage,
    )
    wheel = {"type": "mouseWheel", "x": origin[0], "y": origin[1], "deltaX": 0, "deltaY": -400}
    photo.browser.execute_cdp_cmd("Input.dispatchMouseEvent", wheel)
    seen = photo.wait(lambda: (found := look(photo))["scale"] > 2 and found)
    assert seen["right"] == pytest.approx(200 * (1 - seen["scale"]), abs=1)
    wheel["deltaY"] = 4000
    photo.browser.execute_cdp_cmd("Input.dispatchMouseEvent", wheel)
    photo.wait(lambda: scale(photo) == 1)


def test_a_double_click_shows_the_own_pixels_and_the_whole_again(photo):
    actions, _ = middle(photo)
    actions.double_click().perform()
    photo.wait(lambda: look(photo)["high"] == SIZE[1])
    shown = photo.run(
        "return document.querySelector('#viewer-image').getBoundingClientRect().width"
    )
    wide = photo.run("return document.querySelector('#viewer-image').offsetWidth")
    fit = min(wide / SIZE[0], photo.one(".stage").size["height"] / SIZE[1])
    assert shown / wide * fit == pytest.approx(1, abs=0.01)
    photo.run("dispatchEvent(new Event('resize'))")
    actions, _ = middle(photo)
    photo.wait(lambda: actions.double_click().perform() or scale(photo) == 1)


def test_a_zoomed_photo_is_dragged_and_stays_in_sight(photo):
    photo.press("+", "+", "+")
    actions, stage = middle(photo)
    actions.click_and_hold().move_by_offset(60, 40).release().perform()
    seen = photo.wait(lambda: (found := look(photo))["right"] and found)
    assert (seen["right"], seen["down"]) == (60, 40)
    actions, _ = middle(photo)
    for _ in range(12):
        photo.press("ArrowLeft", "ArrowUp")
    edges = photo.run(
        "const { left, top } = arguments[0].getBoundingClientRect();"
        "const image = document.querySelector('#viewer-image').getBoundingClientRect();"
        "return [left - image.left, top]",
        stage,
    )
    assert edges[0] == pytest.approx(0, abs=1)
    assert photo.text("#viewer-name") == "a.jpg"  # arrows move a zoomed photo
    photo.press("0")
    assert scale(photo) == 1
    photo.press("ArrowRight")
    photo.wait(lambda: photo.text("#viewer-name") == "b.tif")


def test_a_pinch_zooms(photo):
    _, stage = middle(photo)
    where = photo.run(
        "const { left, top, width, height } = arguments[0].getBoundingClientRect();"
        "return [left + width / 2, top + height / 2]",
        stage,
    )

    def touch(kind, *offsets):
        points = [{"x": where[0] + by, "y": where[1], "id": n} for n, by in enumerate(offsets)]
        photo.browser.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
        )

    touch("touchStart", -40, 40)
    touch("touchMove", -80, 80)
    touch("touchMove", -120, 120)
    touch("touchEnd")
    photo.wait(lambda: scale(photo) == pytest.approx(3, abs=0.01))
    assert photo.text("#viewer-name") == "a.jpg"
    photo.press("Escape")  # the whole photo first
    assert scale(photo) == 1
    touch("touchStart", 80)
    touch("touchMove", 20)
    touch("touchMove", -80)
    touch("touchEnd")
    photo.wait(lambda: photo.text("#viewer-name") == "b.tif")


def test_another_photo_is_shown_whole(photo):
    photo.press("+", "+")
    photo.one("#viewer-next").click()
    photo.wait(lambda: photo.text("#viewer-name") == "b.tif")
    assert scale(photo) == 1


def test_full_screen(photo):
    shown = "return document.fullscreenElement?.className ?? ''"
    photo.press("f")
    photo.wait(lambda: "stage" in photo.run(shown))
    button = photo.one("#viewer-full")
    photo.wait(lambda: button.get_attribute("aria-pressed") == "true")
    button.click()
    photo.wait(lambda: photo.run(shown) == "")
    photo.press("f")
    photo.wait(lambda: "stage" in photo.run(shown))
    photo.one("#viewer-close").click()
    photo.wait(lambda: photo.run(shown) == "")


def test_a_slide_show_goes_on_by_itself_and_ends_with_the_last_photo(photo):
    button = photo.one("#viewer-slides")
    photo.run("arguments[0].dataset.seconds = 0.05", button)
    assert photo.run("return document.activeElement.className").startswith("stage")
    photo.press(" ")
    photo.wait(lambda: photo.text("#viewer-name") == "b.tif")
    photo.wait(lambda: button.get_attribute("aria-pressed") == "false")
    photo.wait(lambda: photo.one(".about").is_displayed())


def test_a_slide_show_waits_while_the_page_is_not_seen(photo):
    button = photo.one("#viewer-slides")
    photo.run(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        "arguments[0].dataset.seconds = 0.01",
        button,
    )
    button.click()
    asleep = "return new Promise((done) => setTimeout(() => done(true), 50))"
    assert photo.run(asleep)  # five times as long as a photo stands
    assert photo.text("#viewer-name") == "a.jpg"
    photo.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    photo.wait(lambda: photo.text("#viewer-name") == "b.tif")


def test_escape_ends_the_slide_show_before_it_closes_the_viewer(photo):
    photo.one("#viewer-slides").click()
    assert not photo.one(".about").is_displayed()
    photo.press("Escape")
    assert photo.one("#viewer-slides").get_attribute("aria-pressed") == "false"
    assert photo.one("#viewer").is_displayed()
    photo.press("Escape")
    photo.wait(lambda: not photo.one("#viewer").is_displayed())


def test_a_photo_is_downloaded_under_its_own_name(photo, tmp_path):
    photo.browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    photo.press("ArrowRight")
    photo.wait(lambda: photo.text("#viewer-name") == "b.tif")
    photo.one("#viewer-download").click()
    photo.wait(lambda: (tmp_path / "b.tif").exists())
    with Image.open(tmp_path / "b.tif") as saved:
        assert saved.format == "TIFF"
