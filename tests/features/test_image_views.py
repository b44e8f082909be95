from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from user_itr.config.loading import load_settings
from user_itr.errors import ConfigError
from user_itr.features.preprocessing import Squash
from user_itr.features.views import View, Views, named_views, preprocess_views


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def test_views_are_the_whole_its_mirror_image_and_its_centre() -> None:
    image = picture(40, 20)
    pixels = np.asarray(image)
    assert np.array_equal(np.asarray(View("whole")(image)), pixels)
    assert np.array_equal(np.asarray(View("mirror")(image)), pixels[:, ::-1])
    centre = pixels[2:18, 4:36]  # 80 % of 20 rows and 40 columns
    assert np.array_equal(np.asarray(View("centre-80")(image)), centre)
    assert np.array_equal(np.asarray(View("mirror-centre-80")(image)), centre[:, ::-1])


@given(st.integers(1, 300), st.integers(1, 300), st.integers(50, 99))
def test_a_centre_lies_in_the_middle_and_has_a_pixel(width: int, height: int, share: int) -> None:
    seen = View(f"centre-{share}")(Image.new("L", (width, height)))
    for whole, part in zip((width, height), seen.size, strict=True):
        assert part >= 1
        assert (whole - part) % 2 == 0
        assert share / 100 * whole <= part < share / 100 * whole + 2


def test_the_input_of_several_views_follows_their_order() -> None:
    image, squash = picture(40, 20), Squash(8, 8)
    several = preprocess_views(squash, named_views(["whole", "mirror"]))
    seen = pickle.loads(pickle.dumps(several))(image)
    assert seen.shape == (2, 8, 8, 3)
    assert np.array_equal(seen[0], squash(image))
    assert np.array_equal(seen[1], squash(ImageOps.mirror(image)))


def test_the_whole_alone_changes_nothing() -> None:
    squash = Squash(8, 8)
    assert preprocess_views(squash, named_views(["whole"])) is squash
    assert isinstance(preprocess_views(squash, named_views(["whole", "mirror"])), Views)


@pytest.mark.parametrize(
    ("views", "said"),
    [
        (["whole", "sideways"], "view 'sideways' is unknown"),
        (["whole", "centre-100"], "view 'centre-100' is unknown"),
        (["whole", "centre-4"], "view 'centre-4' is unknown"),
        (["mirror"], "give whole first"),
        (["whole", "mirror", "mirror"], "each other one once"),
        ([], "views are none"),
    ],
)
def test_bad_views_are_refused_with_a_sentence(views: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        named_views(views)
    with pytest.raises(ConfigError, match=rf"features\.views = .*{said}"):
        load_settings(None, features={"views": views})
