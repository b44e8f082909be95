"""The examples of docs/metrics.md print what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs/metrics.md"


def test_the_examples_print_what_the_page_says(capsys) -> None:
    examples = re.findall(
        r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", PAGE.read_text("utf-8"), re.S
    )
    assert len(examples) == 2
    names: dict[str, Any] = {}
    for code, printed in examples:
        exec(code, names)
        assert capsys.readouterr().out == printed
