"""The embedder, from images and captions to unit vectors; `user_itr.load()` returns it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from pydantic import JsonValue
from torch import Tensor

from user_itr.data.pictures import Picture, caption_list
from user_itr.errors import CheckpointError, ConfigError, FeatureError
from user_itr.features.backbones.base import Backbone
from user_itr.features.backbones.registry import create_backbone
from user_itr.features.compact import Compactor
from user_itr.features.extraction import FLOAT16_MAX
from user_itr.features.guides.pooled import pooled_embedding
from user_itr.features.guides.registry import create_guide, pooled_backbone
from user_itr.features.preprocessing import Preprocess, RegionsAndGuide
from user_itr.features.regions import PRECOMPUTED
from user_itr.features.runtime import best_device, with_runtime
from user_itr.features.views import named_views, preprocess_views
from user_itr.model.checkpoint import TrainedModel, load_model
from user_itr.model.image_encoder import mean_of_views
from user_itr.model.token_encoders import TransformerTokens
from user_itr.model.tokenizer import CPU_TOKENS, TokenizedCaptions
from user_itr.pretrained import DEFAULT
from user_itr.runtime.loading import Runtime
from user_itr.runtime.pictures import embed_pictures

Advance = Callable[[int, int], None]
"""Takes (done, total)."""

TextDtype = Literal["float32", "bfloat16"]
"""The dtype of a token encoder's computation."""


class Embedder:
    """A trained model ready for use.

    Example:
        >>> from user_itr import load
        >>> model = load()                                         # doctest: +SKIP
        >>> images = model.encode_images(["a.jpg", "b.jpg"])       # doctest: +SKIP
        >>> scores = model.encode_text(["a dog runs"]) @ images.T  # doctest: +SKIP

    Args:
        model: the trained model.
        device: where it computes; by default a GPU if there is one.
        runtime: computes the image backbones; see `with_runtime`. Embeddings of different runtimes
            may be compared, so `fingerprint` does not depend on it.
        text_dtype: of the token encoder's computation. bfloat16 is faster if the device multiplies
            it, and moves cosines by some 1e-3; the rest stays in float32.

    Raises:
        ConfigError: if the token encoder has no layers that compute in bfloat16.
        MissingExtraError: when an image is first encoded, if the runtime is not installed.
    """

    def __init__(
        self,
        model: TrainedModel,
        device: str | torch.device | None = None,
        runtime: Runtime = "auto",
        text_dtype: TextDtype = "float32",
    ) -> None:
        self.device = torch.device(device or best_device())
        self.runtime: Runtime = runtime
        self.model = model
        self.encoder = model.encoder.to(self.device).eval()
        self.compactor = None if model.compactor is None else model.compactor.to(self.device)
        self.dim = model.settings.model.embedding
        self.fingerprint = model.fingerprint
        guide = model.guide_compactor
        self.guide_compactor = None if guide is None else guide.to(self.device)
        self.views = named_views(model.settings.features.views)
        self._backbone: Backbone | None = None
        self._guide: Backbone | None = None
        if text_dtype == "bfloat16":
            self._use_bfloat16()

    def _use_bfloat16(self) -> None:
        tokens = self.encoder.text.tokens
        if not isinstance(tokens, TransformerTokens):
            raise ConfigError("a BiGRU encodes captions only in float32; leave bfloat16 out.")
        tokens.bfloat16().register_forward_hook(lambda module, inputs, states: states.float())

    @property
    def description(self) -> str:
        """One line for people, without places: backbone, text encoder, width, dev rsum."""
        settings = self.model.settings
        parts = [
            _without_folders(str(self.model.features["backbone"])),
            _without_folders(settings.model.text.encoder),
            f"{self.dim} wide",
        ]
        if len(self.views) > 1:
            parts.append(f"{len(self.views)} views")
        rsum = self.model.metrics.get("rsum")
        if isinstance(rsum, int | float):
            parts.append(f"dev rsum {rsum:.1f}")
        return ", ".join(parts)

    @property
    def backbone(self) -> Backbone:
        """The image backbone, loaded when an image is first encoded.

        Raises:
            CheckpointError: if the model was trained on precomputed features, or the installed
                backbone has other weights than those of the training.
        """
        if self._backbone is None:
            wanted = self.model.features
            name = str(wanted["backbone"])
            if name == PRECOMPUTED:
                raise CheckpointError(
                    "the model was trained on precomputed region features and has no image "
                    "backbone; encode features with encode_regions instead."
                )
            backbone = create_backbone(name)
            _require_weights(backbone, wanted)
            self._backbone = with_runtime(backbone.to(self.device), self.runtime)
        return self._backbone

    @property
    def guide(self) -> Backbone | None:
        """The frozen guide of CGE, loaded when an image is first encoded.

        None without CGE, and if the guide is the backbone's own pooled vector.

        Raises:
            CheckpointError: if the guide has other weights than those of the training.
        """
        wanted = self.model.guide
        if wanted is None or not self.needs_guides:
            return None
        if self._guide is None:
            guide = create_guide(str(wanted["backbone"]))
            _require_weights(guide, wanted)
            self._guide = with_runtime(guide.to(self.device), self.runtime)
        return self._guide

    @property
    def needs_guides(self) -> bool:
        """Whether the guide is another network than the backbone: CGE, not by its pooled vector."""
        guide = self.model.guide
        if guide is None:
            return False
        return pooled_backbone(str(guide["backbone"])) != self.model.features["backbone"]

    def encode_images(
        self, images: Picture | Iterable[Picture], batch_size: int = 32
    ) -> np.ndarray:
        """Embed images.

        Args:
            images: N files, pictures that Pillow opened, or arrays, mixed as they come, or one; see
                `Picture`. The same photograph has the same embedding in each of these forms.
            batch_size: images per pass of the backbone.

        Returns:
            (N, D) float32, unit-norm.

        Raises:
            DataError: if one cannot be decoded, or is not a picture.
        """
        return embed_pictures(self, images, batch_size)

    @property
    def draft(self) -> int | None:
        """The size to which JPEG files may be decoded; see `Backbone.draft`."""
        if self.guide is None:
            return self.backbone.draft
        sizes = self.backbone.draft, self.guide.draft
        return None if None in sizes else max(size for size in sizes if size is not None)

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Scale one RGB image to the networks' input; see `Backbone.preprocess`.

        Returns:
            The backbone's pixels, of several views one after the other: (V, ...). With a guide that
            is another network, an array without dimensions whose fields "regions" and "guide" hold
            the pixels of each; the guide sees the whole image alone.
        """
        regions = preprocess_views(self.backbone.preprocess, self.views)
        if self.guide is None:
            return regions(image)
        return RegionsAndGuide(regions, self.guide.preprocess)(image)

    @property
    def worker_preprocess(self) -> Preprocess | None:
        """`preprocess` for worker processes; see `Backbone.worker_preprocess`."""
        one = self.backbone.worker_preprocess
        regions = None if one is None else preprocess_views(one, self.views)
        if self.guide is None or regions is None:
            return regions
        guide = self.guide.worker_preprocess
        return None if guide is None else RegionsAndGuide(regions, guide)

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Embed one batch of stacked `preprocess` results: (N, ...) to (N, D) float32."""
        guides, seen = None, pixels
        if pixels.dtype.names is not None:
            assert self.guide is not None
            guides = _stored(self.guide.encode(np.ascontiguousarray(pixels["guide"])))[:, 0]
            seen = np.ascontiguousarray(pixels["regions"])
        count = len(self.views)
        if count > 1:
            seen = seen.reshape(-1, *seen.shape[2:])
        regions, rows = _stored(self.backbone.encode(seen)), np.arange(len(seen))
        views = [(regions, rows[number::count]) for number in range(count)]
        return self.encode_views(views, guides=guides)

    def encode_regions(
        self,
        regions: np.ndarray,
        rows: np.ndarray | None = None,
        batch_size: int = 256,
        guides: np.ndarray | None = None,
        advance: Advance | None = None,
    ) -> np.ndarray:
        """Embed raw region features, read block by block.

        Args:
            regions: (R, K, d) of any float dtype, memory map allowed.
            rows: (N,) int64, the rows to embed, in that order; all by default.
            batch_size: images per pass.
            guides: (N, G) raw guide embeddings of the images, in the order of the result. A model
                with CGE needs them, unless its guide is the pooled vector of the same backbone.
            advance: told (done, total) after each pass.

        Returns:
            (N, D) float32, unit-norm.

        Raises:
            FeatureError: if the model needs guides and none are given.
        """
        if rows is None:
            rows = np.arange(len(regions))
        return self.encode_views([(regions, rows)], batch_size, guides, advance)

    @torch.inference_mode()
    def encode_views(
        self,
        views: Sequence[tuple[np.ndarray, np.ndarray]],
        batch_size: int = 256,
        guides: np.ndarray | None = None,
        advance: Advance | None = None,
    ) -> np.ndarray:
        """Embed images by the raw region features of several views of them.

        Args:
            views: features (R, K, d) and rows (N,) of each view, the whole image first.
            batch_size: as in `encode_regions`, as are the others.
            guides: of the whole images, as is what a model takes in their place.
            advance: told (done, total) after each pass.

        Returns:
            (N, D) float32, unit-norm; see `mean_of_views`.

        Raises:
            FeatureError: if the model needs guides and there are none.
        """
        count = len(views[0][1])
        embeddings = np.empty((count, self.dim), dtype=np.float32)
        for start in range(0, count, batch_size):
            part = slice(start, min(start + batch_size, count))
            outputs, guide = [], None
            for number, (regions, rows) in enumerate(views):
                raw = torch.from_numpy(regions[rows[part]].astype(np.float32))
                if number == 0 and self.model.guide is not None:
                    guide = self._guide_block(raw, None if guides is None else guides[part])
                block = _compact(raw.to(self.device), self.compactor)
                outputs.append(self.encoder.image(block, guide=guide))
            embeddings[part] = mean_of_views(torch.stack(outputs, dim=1)).cpu().numpy()
            if advance is not None:
                advance(part.stop, count)
        return embeddings

    def _guide_block(self, raw: Tensor, given: np.ndarray | None) -> Tensor:
        assert self.model.guide is not None
        if given is not None:
            guide = torch.from_numpy(given.astype(np.float32))
        elif not self.needs_guides:
            guide = pooled_embedding(raw).float()
        else:
            raise FeatureError(
                f"the model is guided by {self.model.guide['backbone']}; give its embeddings of "
                "the images beside their regions."
            )
        return _compact(guide.unsqueeze(1).to(self.device), self.guide_compactor)[:, 0]

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that the training captions hardly or never had; see `Vocabulary`."""
        known = self.model.vocabulary
        return [] if known is None else known.unknown(text)

    def encode_text(
        self,
        captions: str | Iterable[str],
        batch_size: int = 256,
        advance: Advance | None = None,
    ) -> np.ndarray:
        """Embed captions: N texts, or one, to (N, D) float32, unit-norm; see `encode_tokens`.

        Raises:
            DataError: if they are something else.
        """
        captions = caption_list(captions)
        if not captions:
            return np.empty((0, self.dim), dtype=np.float32)
        return self.encode_tokens(self.model.tokenizer(captions), batch_size, advance)

    @torch.inference_mode()
    def encode_tokens(
        self,
        captions: TokenizedCaptions,
        batch_size: int = 256,
        advance: Advance | None = None,
    ) -> np.ndarray:
        """Embed tokenized captions, each text once, in batches of similar length.

        Args:
            captions: M captions.
            batch_size: texts per pass, at most; on a CPU also at most `CPU_TOKENS` tokens.
            advance: told (done, total) of texts after each pass.

        Returns:
            (M, D) float32, unit-norm; captions of equal tokens have equal rows.
        """
        embeddings = np.empty((len(captions), self.dim), dtype=np.float32)
        texts, text_of_caption = captions.distinct()
        most = CPU_TOKENS if self.device.type == "cpu" else None
        done = 0
        for rows in captions.batches(texts, batch_size, most):
            ids, mask = captions.padded(rows)
            output = self.encoder.text(ids.to(self.device), mask.to(self.device))
            embeddings[rows] = output.cpu().numpy()
            done += len(rows)
            if advance is not None:
                advance(done, len(texts))
        return embeddings if len(texts) == len(captions) else embeddings[texts[text_of_caption]]


def load(
    path: str | Path = DEFAULT,
    device: str | torch.device | None = None,
    runtime: Runtime = "auto",
    text_dtype: TextDtype = "float32",
) -> Embedder:
    """Load a trained model, by default the one that ships.

    Args:
        path: a checkpoint's folder, a run's folder (its best checkpoint), or "shipped:NAME".
        device: see `Embedder`.
        runtime: see `Embedder`.
        text_dtype: see `Embedder`.

    Raises:
        CheckpointError: if it is missing, damaged, or names a part that is not installed.
    """
    return Embedder(load_model(path), device, runtime, text_dtype)


def _without_folders(name: str) -> str:
    """A network's name, with only the last part of a path in it: transformers:clip."""
    return re.sub(r"(^|[:@])(?:[/~\\]|[A-Za-z]:[/\\]).*?([^/\\]+)[/\\]*$", r"\1\2", name)


def _require_weights(network: Backbone, wanted: dict[str, JsonValue]) -> None:
    if network.weights_hash != wanted["weights_hash"]:
        raise CheckpointError(
            f"backbone {network.name}: its weights differ from those the model was trained with; "
            "install the same version of the package that ships them."
        )


def _stored(features: Tensor) -> np.ndarray:
    """Round features to float16 as the store does, so search sees the same values as training."""
    return features.clamp(-FLOAT16_MAX, FLOAT16_MAX).half().numpy()


def _compact(raw: Tensor, compactor: Compactor | None) -> Tensor:
    """Compact raw features and round them to float16, as training does."""
    return raw if compactor is None else compactor(raw).half().float()
