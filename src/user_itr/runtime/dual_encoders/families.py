"""The dual encoders that are known, by the `model_type` of their `config.json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What differs from one kind of dual encoder to another.

    Args:
        name: for people.
        architecture: class of transformers.
        positions: tokens that the text encoder reads, where the configuration does not say.
        padded_to_positions: whether texts are always padded to `positions`: the encoder pools the
            last one, and was trained with padding that it sees.
        needs_mask: whether padding changes the embedding unless it is masked.
        projected: whether a projection of its own leads to the joint space, so that
            `pooler_output` lies in another.
        width: D of the joint space, where the configuration does not say.
        pad_token: where the tokenizer does not say.
        end_token: that ends each text, where other padding than by this token tells that the text
            encoder was trained with padding to `positions` that it sees, as open_clip pads.
        reserved: of the text encoder's position embeddings, those that no token has.
    """

    name: str
    architecture: str
    positions: int
    padded_to_positions: bool
    needs_mask: bool
    projected: bool
    width: int
    pad_token: str
    end_token: str | None = None
    reserved: int = 0

    def outputs(self, side: str) -> tuple[str, ...]:
        """Names of the output that holds the embeddings of "text" or "image", the best first."""
        return (f"{side}_embeds",) if self.projected else (f"{side}_embeds", "pooler_output")


FAMILIES = {
    "clip": Family(
        "CLIP", "CLIPModel", 77, False, False, True, 512, "<|endoftext|>", "<|endoftext|>"
    ),
    "siglip": Family("SigLIP", "SiglipModel", 64, True, False, False, 768, "</s>"),
    "chinese_clip": Family(
        "Chinese-CLIP", "ChineseCLIPModel", 512, False, True, True, 512, "[PAD]"
    ),
    "open_clip": Family("open_clip", "", 77, True, False, True, 512, "!"),
    "altclip": Family("AltCLIP", "AltCLIPModel", 512, False, True, True, 768, "<pad>", reserved=2),
}
"""MobileCLIP and TinyCLIP say that they are a `clip`. SigLIP 2 of a fixed resolution is a `siglip`
with another tokenizer."""

TEXTS = Family("sentence-transformers", "AutoModel", 512, False, True, True, 512, "[PAD]")
"""A text encoder of sentence-transformers, which goes with the images of another model."""
