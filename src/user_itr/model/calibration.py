"""Turn a cosine into a figure that people can read.

Cosines of different models lie in different ranges, so each model keeps its own `Calibration`,
taken from the dev split when it is exported.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from user_itr.errors import DataError


class Calibration(BaseModel):
    """How the cosines of captions and the images that they describe are distributed.

    Args:
        mean: of those cosines.
        deviation: their standard deviation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: float
    deviation: float = Field(gt=0)

    def percent(self, score: float) -> int:
        """The share of true captions that fit their image worse than this, 0 to 100.

        50 is as good as the typical caption that a person wrote for the image. A normal
        distribution is assumed.
        """
        place = (score - self.mean) / (self.deviation * math.sqrt(2))
        return round(100 * 0.5 * (1 + math.erf(place)))

    @classmethod
    def fit(
        cls, images: np.ndarray, captions: np.ndarray, caption_image: np.ndarray
    ) -> Calibration:
        """From embeddings (N, D) and (M, D) of unit norm, and the image (M,) of each caption.

        Raises:
            DataError: if all captions score the same.
        """
        scores = np.einsum("md,md->m", captions, images[caption_image], dtype=np.float64)
        if not scores.std() > 0:
            raise DataError("all captions fit their images equally well; is the model trained?")
        return cls(mean=float(scores.mean()), deviation=float(scores.std()))
