"""The map of where photos were taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from colour_encoder import paint
from PIL import ExifTags, Image
from selenium.webdriver.common.action_chains import ActionChains

import user_itr
from user_itr.search.index import ImageIndex

WORLD = Path(user_itr.__file__).parent / "server" / "static" / "world.json"
TRIPS = {
    "paris-1": (48.8566, 2.3522),
    "paris-2": (48.8606, 2.3376),
    "lyon": (45.7640, 4.8357),
    "sydney": (-33.8688, 151.2093),
}


def exif_of(latitude: float, longitude: float) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.IFD.GPSInfo] = {
        ExifTags.GPS.GPSLatitudeRef: "S" if latitude < 0 else "N",
        ExifTags.GPS.GPSLatitude: (abs(latitude), 0.0, 0.0),
        ExifTags.GPS.GPSLongitudeRef: "W" if longitude < 0 else "E",
        ExifTags.GPS.GPSLongitude: (abs(longitude), 0.0, 0.0),
    }
    return exif


@pytest.fixture(scope="module")
def travels(serve, encoder, tmp_path_factory):
    """A server of four photos that say where they were taken, and one that does not."""
    folder = tmp_path_factory.mktemp("travels")
    for number, (name, place) in enumerate(TRIPS.items()):
        size = (300, 200 + number)
        paint(folder / "photos" / f"{name}.jpg", "red", size, exif=exif_of(*place))
    paint(folder / "photos" / "nowhere.jpg", "blue", (300, 200))
    index = ImageIndex.create_or_open(folder / "index", encoder, "model")
    index.update(folder / "photos", encoder)
    return serve(index)


@pytest.fixture
def world(page, travels):
    """The map, with its places."""
    page.url = travels.url
    page.open()
    page.wait(lambda: page.one("#map-button").is_displayed())
    page.one("#map-button").click()
    page.wait(lambda: len(entries(page)) == 2)
    return page


def entries(page):
    return texts(page, "#map-list button")


def texts(page, selector):
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
    return page.run(script, selector)


def test_no_map_where_no_photo_has_a_place(page):
    page.wait(
        lambda: (
            "136 photos"
            in page.run(
                "return document.querySelector('#about').innerText"
                " || document.querySelector('#about').textContent"
            )
        )
    )
    assert not page.one("#map-button").is_displayed()


def test_places_are_named_and_counted(world):
    assert [entry.splitlines()[-1] for entry in entries(world)] == ["3 photos", "1 photo"]
    assert entries(world)[0].startswith("France, 47.")
    assert entries(world)[1].startswith("Australia, 33.87° S 151.21° E")
    assert texts(world, ".pin") == ["3", "1"]
    assert world.text("#map-count") == "4 photos on this part of the map"


def test_the_photos_of_a_place_are_found_and_back_leads_to_where_one_was(world):
    world.find(".pin")[0].click()
    world.wait(lambda: world.text("#count") == "3 photos fit the filters, newest first")
    assert "area=" in world.browser.current_url
    assert world.text("#active").startswith("around 47.")
    assert not world.one("#map").is_displayed()
    world.search("red")
    assert world.text("#count") == "3 photos fit the filters, best match first"
    world.find("#active button")[0].click()
    world.wait(lambda: world.text("#count").startswith("All 5 photos"))
    world.browser.back()
    world.browser.back()
    world.browser.back()
    world.wait(lambda: "area=" not in world.browser.current_url)


def test_zooming_takes_places_apart(world):
    australia = world.find("#map-list button")[1]
    ActionChains(world.browser).move_to_element(australia).perform()
    world.wait(lambda: "meant" in world.find(".pin")[1].get_attribute("class"))
    globe = world.one(".globe")
    at = world.run(
        "const globe = arguments[0].getBoundingClientRect();"
        "const { left, top, width, height } = arguments[1].getBoundingClientRect();"
        "return [left + width / 2, top + height / 2, globe.left, globe.top]",
        globe,
        world.find(".pin")[0],
    )
    wheel = {"type": "mouseWheel", "x": at[0], "y": at[1], "deltaX": 0, "deltaY": -1500}
    world.browser.execute_cdp_cmd("Input.dispatchMouseEvent", wheel)
    world.wait(lambda: len(entries(world)) == 2 and "Australia" not in str(entries(world)))
    assert sorted(texts(world, ".pin")) == ["1", "2"]


def test_the_map_by_keyboard(world):
    assert "globe" in world.run("return document.activeElement.className")
    shift = "return document.querySelector('.globe g').getAttribute('transform')"
    before = world.run(shift)
    world.press("ArrowLeft")
    assert world.run(shift) != before
    world.press("ArrowRight")
    world.press("Tab", "Tab", "Tab", "Tab")
    assert world.run("return document.activeElement.innerText").startswith("France")
    world.press("Enter")
    world.wait(lambda: world.text("#count") == "3 photos fit the filters, newest first")
    world.one("#map-button").click()
    world.wait(lambda: world.one("#map").is_displayed())
    world.press("Escape")
    world.wait(lambda: not world.one("#map").is_displayed())


def test_the_map_keeps_to_the_filters(world):
    world.press("Escape")
    world.open("/?after=2099-01-01")
    world.wait(lambda: world.one("#map-button").is_displayed())
    world.one("#map-button").click()
    world.wait(lambda: world.text("#map-count") == "No photo on this part of the map")


@pytest.mark.parametrize(
    ("name", "latitude", "longitude"),
    [
        ("France", 48.86, 2.35),
        ("Kenya", -1.29, 36.82),
        ("Brazil", -15.79, -47.88),
        ("Japan", 35.68, 139.69),
        ("New Zealand", -41.2, 175.0),
        ("Lesotho", -29.5, 28.3),
        ("South Africa", -29.0, 24.0),
        ("Russia", 67.0, -175.5),
        ("Antarctica", -80.0, 0.0),
        ("Antarctica", -88.0, 179.0),
        ("Fiji", -16.85, -179.95),
        ("Brazil", -23.06, -43.63),  # on the shore
        ("", 0, -30),
    ],
)
def test_countries_are_told_by_their_outlines(page, name, latitude, longitude):
    found = page.browser.execute_async_script(
        """
        const [latitude, longitude, done] = arguments;
        import("/static/world.js").then(async ({ World }) => {
          const world = new World(await (await fetch("/static/world.json")).json());
          done(world.nameOf(latitude, longitude));
        });
        """,
        latitude,
        longitude,
    )
    assert found == name


def test_the_projection_leads_there_and_back(page):
    worst = page.browser.execute_async_script(
        """
        const done = arguments[0];
        import("/static/world.js").then(({ projected, placeAt }) => {
          let worst = 0;
          for (let latitude = -84; latitude <= 84; latitude += 7) {
            for (let longitude = -180; longitude <= 180; longitude += 9) {
              const { x, y } = projected(latitude, longitude);
              const there = placeAt(x, y);
              worst = Math.max(worst, Math.abs(there.latitude - latitude),
                Math.abs(there.longitude - longitude));
            }
          }
          done(worst);
        });
        """
    )
    assert worst < 1e-9


def test_the_outlines_are_small_and_say_whose_they_are():
    assert WORLD.stat().st_size < 150_000
    assert "Natural Earth" in json.loads(WORLD.read_text(encoding="utf-8"))["source"]
