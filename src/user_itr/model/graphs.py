"""The two halves of a model as modules that PyTorch exports as ONNX graphs.

Pixels or token ids go in, unit vectors come out: backbone, guide, rounding to a store's float16,
compactor and encoder are one graph. GPO's weights and the grid's pooling, which depend only on a
set's size, are computed beforehand and are constants of the graph.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from user_itr.features.backbones.base import Backbone
from user_itr.features.compact import Compactor
from user_itr.features.extraction import FLOAT16_MAX
from user_itr.model.checkpoint import TrainedModel
from user_itr.model.image_encoder import mean_of_views
from user_itr.model.pooling import GeneralizedPooling
from user_itr.model.token_encoders import BiGRUTokens, TokenEncoder, TransformerTokens

UNLIMITED_TOKENS = 512
"""Tokens that an exported model reads of a caption if its tokenizer has no limit."""


def longest_sentence(model: TrainedModel) -> int:
    """Tokens that an exported model reads of a caption."""
    return model.tokenizer.max_tokens or UNLIMITED_TOKENS


class TextGraph(nn.Module):
    """Token ids (B, L) int64 and lengths (B,) int64 to unit vectors (B, D) float32."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.text = copy.deepcopy(model.encoder.text).cpu().eval()
        tokens, pooling = self.text.tokens, self.text.pooling
        if isinstance(tokens, TransformerTokens):
            tokens.base.config._attn_implementation = "eager"  # type: ignore[union-attr]
        elif isinstance(tokens, BiGRUTokens):
            self.text.tokens = _OnnxGRU(tokens)
        if isinstance(pooling, GeneralizedPooling):
            self.text.pooling = _TabledPooling(pooling, longest_sentence(model))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encode captions."""
        mask = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)
        embeddings: Tensor = self.text(ids, mask)
        return embeddings


class ImageGraph(nn.Module):
    """Pixels of the backbone, and of a guide that is another network, to unit vectors (B, D).

    Args:
        model: the trained model.
        backbone: of its regions, on the CPU.
        guide: of CGE; None without CGE, and if it is the backbone's own pooled vector.
    """

    def __init__(self, model: TrainedModel, backbone: Backbone, guide: Backbone | None) -> None:
        super().__init__()
        self.backbone, self.guide = backbone, guide
        self.views = len(model.settings.features.views)
        self.pooled = model.guide is not None and guide is None
        self.compact = _Compact(model.compactor)
        self.guide_compact = _Compact(model.guide_compactor)
        self.image = copy.deepcopy(model.encoder.image).cpu().eval()
        if isinstance(self.image.pooling, GeneralizedPooling):
            regions = backbone.regions if model.compactor is None else model.compactor.regions
            self.image.pooling = _TabledPooling(self.image.pooling, regions)

    def forward(self, regions: Tensor, guide: Tensor | None = None) -> Tensor:
        """Encode the results of both networks' `preprocess`, (B, ...) each, or (B, V, ...)."""
        if self.views > 1:
            regions = regions.flatten(0, 1)
        raw = _stored(self.backbone(regions))
        vector: Tensor | None = None
        if self.guide is not None:
            vector = _stored(self.guide(guide))
        elif self.pooled:
            whole = raw.reshape(-1, self.views, *raw.shape[1:])[:, 0]
            vector = whole.mean(dim=1, keepdim=True).half().float()
        if vector is not None:
            vector = self.guide_compact(vector).expand(-1, self.views, -1).flatten(0, 1)
        embeddings: Tensor = self.image(self.compact(raw), guide=vector)
        return mean_of_views(embeddings.reshape(-1, self.views, embeddings.shape[1]))


class _Compact(nn.Module):
    """A `Compactor` whose grid pooling is one product, with the rounding of training."""

    cells: Tensor | None

    def __init__(self, compactor: Compactor | None) -> None:
        super().__init__()
        self.compactor = compactor
        cells = None
        if compactor is not None and compactor.grid is not None:
            cells = compactor.pool(torch.eye(compactor.side**2).unsqueeze(0))[0]
        self.register_buffer("cells", cells)

    def forward(self, raw: Tensor) -> Tensor:
        if self.compactor is None:
            return raw
        pooled = raw if self.cells is None else self.cells @ raw
        if self.compactor.projection.numel():
            pooled = (pooled - self.compactor.mean) @ self.compactor.projection
        return pooled.half().float()


class _TabledPooling(nn.Module):
    """GPO of sets of up to `longest` members, its weights for every size in a table."""

    def __init__(self, pooling: GeneralizedPooling, longest: int) -> None:
        super().__init__()
        self.register_buffer("table", pooling.cpu().table(longest).detach().clone())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        table = self.get_buffer("table")
        if mask is None:
            ordered, weights = x.sort(dim=1, descending=True).values, table[-1:]
            return (ordered * weights.unsqueeze(-1)).sum(dim=1)
        weights = table[mask.long().sum(dim=1) - 1][:, : x.shape[1]]
        filled = x.masked_fill(~mask.unsqueeze(-1), torch.finfo(x.dtype).min)
        ordered = filled.sort(dim=1, descending=True).values
        ordered = ordered.masked_fill((weights == 0).unsqueeze(-1), 0.0)
        return (ordered * weights.unsqueeze(-1)).sum(dim=1)


class _OnnxGRU(TokenEncoder):
    """`BiGRUTokens` by ONNX's GRU, which reads sequences of several lengths; only for export."""

    cacheable = False

    def __init__(self, tokens: BiGRUTokens) -> None:
        super().__init__()
        self.width = tokens.width
        self.embedding = tokens.embedding
        for name, kinds in (("inputs", ("weight_ih",)), ("states", ("weight_hh",))):
            self.register_buffer(name, _both_directions(tokens.gru, kinds))
        self.register_buffer("biases", _both_directions(tokens.gru, ("bias_ih", "bias_hh")))

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.embedding(ids)  # type: ignore[no-any-return]

    def upper(self, states: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = states.shape
        weights = [self.get_buffer(name) for name in ("inputs", "states", "biases")]
        lengths = mask.to(torch.int32).sum(dim=1, dtype=torch.int32)
        output: Tensor = torch.onnx.ops.symbolic(
            "GRU",
            (states.transpose(0, 1), *weights, lengths),
            {"hidden_size": self.width, "direction": "bidirectional", "linear_before_reset": 1},
            dtype=torch.float32,
            shape=(length, 2, batch, self.width),
        )
        return output.mean(dim=1).transpose(0, 1)


def _both_directions(gru: nn.GRU, kinds: tuple[str, ...]) -> Tensor:
    """PyTorch's gates (reset, update, new) in ONNX's order, the backward direction second."""
    found = []
    for suffix in ("", "_reverse"):
        parts = [gru.get_parameter(f"{kind}_l0{suffix}").detach() for kind in kinds]
        gates = [part.chunk(3) for part in parts]
        found.append(torch.cat([torch.cat([new[1], new[0], new[2]]) for new in gates]))
    return torch.stack(found)


def _stored(features: Tensor) -> Tensor:
    """Features rounded to float16, as a feature store returns them."""
    return F.hardtanh(features, -FLOAT16_MAX, FLOAT16_MAX).half().float()
