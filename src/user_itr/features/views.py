"""Views of a photograph, whose vectors a model averages: the whole, its mirror image, its centre.

Worker processes that decode photos make them; importing this module must stay cheap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from user_itr.features.preprocessing import Preprocess

_NAME = re.compile(r"whole|mirror|(?:mirror-)?centre-([5-9][0-9])")


@dataclass(frozen=True)
class View:
    """What a network sees of a photograph.

    Args:
        name: "whole"; "mirror", left and right exchanged; "centre-85", the middle 85 % of width and
            of height; "mirror-centre-85", both.

    Raises:
        ValueError: if there is no such view.
    """

    name: str

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ValueError(
                f"view {self.name!r} is unknown; use whole, mirror, centre-NN or mirror-centre-NN, "
                "where NN is a percentage from 50 to 99"
            )

    def __call__(self, image: Image.Image) -> Image.Image:
        """The view of an image of any size, at least one pixel of it."""
        match = _NAME.fullmatch(self.name)
        percent = None if match is None else match.group(1)
        if percent is not None:
            left, top = (side * (100 - int(percent)) // 200 for side in image.size)
            image = image.crop((left, top, image.width - left, image.height - top))
        return ImageOps.mirror(image) if self.name.startswith("mirror") else image


WHOLE = View("whole")


@dataclass(frozen=True)
class Views:
    """Several views of an image for one network.

    Args:
        views: V of them.
        preprocess: of the network.
    """

    views: tuple[View, ...]
    preprocess: Preprocess

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The network's input of each view of one RGB image, one after the other: (V, ...)."""
        return np.stack([self.preprocess(view(image)) for view in self.views])


def named_views(names: Sequence[str]) -> tuple[View, ...]:
    """The views of a model.

    Raises:
        ValueError: if one is unknown or repeats, or the first is not the whole photograph.
    """
    views = tuple(View(name) for name in names)
    if not views or views[0] != WHOLE or len(set(views)) < len(views):
        raise ValueError(
            f"views are {', '.join(names) or 'none'}; give whole first, and each other one once"
        )
    return views


def preprocess_views(preprocess: Preprocess, views: tuple[View, ...]) -> Preprocess:
    """`preprocess` of several views, as `Views`; itself for the whole photograph alone."""
    return preprocess if views == (WHOLE,) else Views(views, preprocess)
