"""Links between the pages, and the paths that the architecture page names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOB = "https://github.com/user-itr/user-itr/blob/main/"
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md")
    for path in ROOT.glob(pattern)
)


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in headings}


def links(page: Path) -> list[str]:
    text = prose(page)
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[.+?\]: (\S+)$", text, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(BLOB):
            assert (ROOT / link.removeprefix(BLOB)).exists(), link
        elif "://" not in link:
            name, _, anchor = link.partition("#")
            target = (page.parent / name) if name else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
ANSWERS = re.findall(r"^\| .+ \| `(\S+)` \| `(\w+)` \|$", ARCHITECTURE, re.M)


def test_the_architecture_page_answers_twenty_sentences() -> None:
    assert len(ANSWERS) == 20


@pytest.mark.parametrize(("file", "name"), ANSWERS)
def test_the_file_of_an_answer_defines_its_name(file: str, name: str) -> None:
    source = (ROOT / "src" / "user_itr" / file).read_text()
    assert re.search(rf"^(class|def) {name}\b", source, re.M)


def test_every_file_that_the_architecture_page_names_exists() -> None:
    files = [f"/{path.relative_to(ROOT)}" for path in (ROOT / "src").rglob("*.*")]
    for name in re.findall(r"`([\w/]+\.(?:py|js|txt))`", ARCHITECTURE):
        assert any(file.endswith(f"/{name}") for file in files), name
