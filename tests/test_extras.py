from __future__ import annotations

import re
from pathlib import Path

import pytest

from user_itr.errors import MissingExtraError
from user_itr.extras import _PACKAGES, extra_needed, missing_extra

PROJECT = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("extra", _PACKAGES)
def test_every_extra_that_is_named_exists(extra):
    assert re.search(rf"^{extra} = \[", PROJECT, re.MULTILINE)


def test_a_missing_package_of_an_extra_gives_the_line_to_run():
    said = "it needs more packages (torch); run `pip install 'user-itr[train]'`."
    with pytest.raises(MissingExtraError) as raised, extra_needed("it"):
        raise ModuleNotFoundError("No module named 'torch'", name="torch.nn")
    assert str(raised.value) == said


def test_a_package_of_no_extra_is_an_error_of_ours():
    error = ModuleNotFoundError("No module named 'nothing'", name="nothing")
    assert missing_extra(error) is None
    with pytest.raises(ModuleNotFoundError, match="nothing"), extra_needed("it"):
        raise error
