"""What happens to one image before a network sees it, free of PyTorch and ready to be pickled.

Worker processes that decode photos run these; importing this module must stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

Preprocess = Callable[[Image.Image], np.ndarray]
"""One RGB image to an array of the same shape and dtype for every image."""


@dataclass(frozen=True)
class Squash:
    """Scale an image to a fixed size, whatever its shape: uint8 (height, width, 3).

    Args:
        width: pixels.
        height: pixels.
        resample: Pillow's filter.
    """

    width: int
    height: int
    resample: Image.Resampling = Image.Resampling.BICUBIC

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image."""
        return np.asarray(image.resize((self.width, self.height), self.resample))


@dataclass(frozen=True)
class RegionsAndGuide:
    """The pixels of two networks: an array without dimensions, fields "regions" and "guide".

    Args:
        regions: of the backbone.
        guide: of the guide of CGE.
    """

    regions: Preprocess
    guide: Preprocess

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image for both."""
        regions, guide = self.regions(image), self.guide(image)
        kind = [(n, a.dtype, a.shape) for n, a in (("regions", regions), ("guide", guide))]
        both = np.empty((), np.dtype(kind))
        both["regions"], both["guide"] = regions, guide
        return both
