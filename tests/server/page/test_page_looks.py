"""Themes, contrast, phones, motion, and what assistive technology is told."""

from __future__ import annotations

import pytest

CONTRASTS = """
const number = (text) => text.match(/[\\d.]+/g).map(Number);
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (colour) => {  // any CSS colour, over white where it is see-through
  canvas.fillStyle = "#fff"; canvas.fillRect(0, 0, 1, 1);
  canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const luminance = (colour) => {
  const [r, g, b] = rgb(colour).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (!/rgba\\(.*, 0\\)|transparent/.test(colour)) return colour;
  }
  return "#fff";
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const texts = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const icon = element.matches("svg.icon");
  if (!(texts || icon) || !element.checkVisibility() || element.closest(":disabled")) continue;
  const pair = [luminance(getComputedStyle(element).color), luminance(ground(element))].sort();
  const name = `${element.tagName}.${element.className} in #${element.closest("[id]")?.id}`;
  found.push([name, Math.max(...pair) + 0.05, Math.min(...pair) + 0.05, icon]);
}
return found.map(([name, light, dark, icon]) => [name, light / dark, icon]);
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_icons_stand_out_from_their_ground(page, theme):
    """WCAG 2.2 AA of all that is seen: 4.5 : 1 for text, 3 : 1 for icons."""
    page.prefer(color_scheme=theme)
    page.open("/?q=red&side=100")
    seen = page.run(CONTRASTS)
    page.one("#filters-button").click()
    seen += page.run(CONTRASTS)
    page.press("Escape", into=page.one("#folders [tabindex='0']"))
    page.one("#help-button").click()
    seen += page.run(CONTRASTS)
    page.press("Escape")
    page.find("#grid .tile a")[0].click()
    page.wait(lambda: page.text("#viewer-facts"))
    seen += page.run(CONTRASTS)
    page.open("/?q=red&after=2099-01-01")
    seen += page.run(CONTRASTS)
    assert len({name for name, _, _ in seen}) > 40
    low = {name: ratio for name, ratio, icon in seen if ratio < (3 if icon else 4.5)}
    assert low == {}


def test_dark_and_light(page):
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(ground)
    page.prefer(color_scheme="dark")
    dark = page.run(ground)
    assert dark != light
    theme = page.one("#theme")
    page.wait(lambda: theme.get_attribute("aria-pressed") == "true")
    theme.click()
    assert page.run(ground) == light
    page.browser.refresh()
    page.settle()
    assert page.run(ground) == light  # kept
    page.one("#theme").click()
    assert page.run(ground) == dark
    assert page.run("return localStorage.length") == 0  # follows the system again


@pytest.mark.parametrize("width", [360, 390, 768])
def test_nothing_is_wider_than_the_screen(page, width, tmp_path):
    page.resize(width, 844)
    wide = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"

    def fits():
        content, screen = page.run(wide)
        return content <= screen <= width

    page.open("/?q=" + "a very long description of red photos " * 4 + "&side=100")
    page.wait(fits)
    page.one("#filters-button").click()
    page.wait(fits)
    page.press("Escape", into=page.one("#folders [tabindex='0']"))
    page.find("#grid .tile a")[0].click()
    page.wait(lambda: page.names("#viewer-neighbours"))
    page.wait(fits)
    inner = "const it = document.querySelector('#viewer'); return it.scrollWidth <= it.clientWidth"
    page.wait(lambda: page.run(inner))
    page.press("Escape")
    page.one("#help-button").click()
    page.wait(fits)
    page.press("Escape")
    tall = page.run(
        "return [...document.querySelectorAll('.bar button, .bar a')]"
        ".filter((one) => one.checkVisibility())"
        ".map((one) => Math.min(one.offsetWidth, one.offsetHeight))"
    )
    assert min(tall) >= 24  # WCAG 2.5.8


def test_rows_follow_the_width(page):
    height = "return document.querySelector('#grid .tile').offsetHeight"
    before = page.run(height)
    page.resize(390, 844)
    page.wait(lambda: page.run(height) != before)
    right = page.run(
        "return Math.max(...[...document.querySelectorAll('#grid .tile')]"
        ".map((one) => one.getBoundingClientRect().right))"
    )
    assert right <= 390


def test_less_motion_where_it_is_asked_for(page):
    moving = (
        "return [...document.querySelectorAll('*')].map((one) => getComputedStyle(one))"
        ".filter((style) => style.animationName !== 'none'"
        " || parseFloat(style.transitionDuration) > 0).length"
    )
    assert page.run(moving) > 0
    page.prefer(color_scheme="light", reduced_motion="reduce")
    assert page.run(moving) == 0


def test_everything_that_acts_has_a_name(page):
    page.find("#grid .tile a")[0].click()
    page.wait(lambda: page.names("#viewer-neighbours"))
    acting = {"button", "link", "textbox", "searchbox", "combobox", "dialog", "image"}

    def told():  # the browser brings what assistive technology is told up to date in its own time
        nodes = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        return [node for node in nodes if node.get("role", {}).get("value") in acting]

    seen = page.wait(lambda: (found := told())[20:] and found)
    nameless = [node for node in seen if not node.get("name", {}).get("value")]
    assert [node["role"]["value"] for node in nameless] == []


def test_focus_is_seen(page):
    for selector in ("#pick", "#filters-button", "#theme", "#help-button"):
        page.run("document.querySelector('.brand').focus()")
        element = page.one(selector)
        page.run("arguments[0].focus({ focusVisible: true })", element)
        assert element.value_of_css_property("outline-style") == "solid"
        assert float(element.value_of_css_property("outline-width")[:-2]) >= 2


def test_nothing_from_elsewhere(page, server):
    page.search("red")
    entries = "return performance.getEntriesByType('resource').map((one) => one.name)"
    names = page.wait(lambda: (found := page.run(entries))[20:] and found)
    assert all(name.startswith(server.url) for name in names)
