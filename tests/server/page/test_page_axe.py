"""axe-core finds nothing against WCAG 2.1 AA in the states of the page (its rules know no 2.2)."""

from __future__ import annotations

import pytest

axe = pytest.importorskip("axe_core_python.selenium", reason="needs axe-core-python")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


def problems(page) -> list[str]:
    found = axe.Axe().run(page.browser, None, RULES)["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_photos_and_what_finds_them(page, theme):
    page.prefer(color_scheme=theme, reduced_motion="reduce")
    page.open()
    page.wait(lambda: page.find("#examples button"))
    assert problems(page) == []
    page.one("#filters-button").click()
    page.wait(lambda: len(page.find("#folders [role=treeitem]")) == 3)
    assert problems(page) == []
    page.press("Escape", into=page.one("#folders [tabindex='0']"))
    page.press("r", "e", "d", into=page.one("#q"))
    page.wait(lambda: page.find("#suggestions [role=option]"))
    assert problems(page) == []
    page.search("red")
    page.wait(lambda: page.text("#names-title"))
    assert problems(page) == []
