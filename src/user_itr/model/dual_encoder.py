"""The dual encoder: an image branch and a text branch that meet in one joint space."""

from __future__ import annotations

from torch import Tensor, nn

from user_itr.model.image_encoder import ImageEncoder
from user_itr.model.text_encoder import TextEncoder


class DualEncoder(nn.Module):
    """One unit vector per image and one per caption; their dot product is the score.

    Args:
        image: image branch.
        text: text branch of the same embedding width.
    """

    def __init__(self, image: ImageEncoder, text: TextEncoder) -> None:
        super().__init__()
        self.image = image
        self.text = text

    def forward(
        self,
        regions: Tensor,
        region_mask: Tensor | None,
        tokens: Tensor,
        token_mask: Tensor,
        guide: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode images (B, K, d) and captions (T, L[, W]) to (B, D) and (T, D), both unit-norm.

        An image branch with CGE needs the images' guide embeddings (B, G) too.
        """
        return self.image(regions, region_mask, guide), self.text(tokens, token_mask)
