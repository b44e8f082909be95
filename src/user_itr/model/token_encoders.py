"""Token encoders, caption tokens to contextual token states: a transformer, or a BiGRU.

A token encoder has two halves. If it is `cacheable`, `lower` is frozen and draws no random numbers,
so its states can be computed once and stored; training changes only `upper`. If nothing is frozen,
the boundary between them has no meaning.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from user_itr.errors import ConfigError
from user_itr.features.backbones.base import hash_files
from user_itr.model.pretrained_text import MINILM, from_pretrained, pretrained_path

GPU_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Attention kernels that PyTorch may choose from on a GPU."""


class TokenEncoder(nn.Module):
    """The interface of a text branch to its token encoder.

    Attributes:
        width: of a token state.
        cacheable: whether `lower` is frozen, so that its states may be stored.
    """

    width: int
    cacheable: bool

    @abstractmethod
    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids (B, L) int64 and mask (B, L) bool to the states at the frozen boundary."""

    @abstractmethod
    def upper(self, states: Tensor, mask: Tensor) -> Tensor:
        """States at the boundary to token states (B, L, width)."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Token ids (B, L) int64, or cached boundary states (B, L, W) float, to (B, L, width)."""
        states = tokens if tokens.is_floating_point() else self.lower(tokens, mask)
        return self.upper(states.to(dtype=next(self.parameters()).dtype), mask)


class TransformerTokens(TokenEncoder):
    """Any BERT-like encoder of transformers, wholly or partly trainable.

    Args:
        model: the encoder, without its pooler.
        trainable_layers: number of upper layers that train; 0 freezes all, "all" trains everything,
            embeddings included.
        dropout: replaces the dropout probability inside the trainable layers, if given.

    Raises:
        ConfigError: if there are fewer layers than asked for, or the layers cannot be run apart
            from the whole, as where the encoder gives each of them a position bias.
    """

    def __init__(
        self,
        model: nn.Module,
        trainable_layers: int | Literal["all"] = 0,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        if getattr(model, "pooler", None) is not None:
            setattr(model, "pooler", None)  # noqa: B010 - mypy rejects a plain assignment of None
        self.width = int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.cacheable = trainable_layers != "all"
        self.layers = nn.ModuleList()
        self.base = model
        if isinstance(trainable_layers, int) and trainable_layers > 0:
            self._split(trainable_layers)
        if self.cacheable:
            self.base.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Dropout) and dropout is not None:
                module.p = dropout
        self.train()

    @torch.no_grad()
    def _split(self, count: int) -> None:
        """Move the `count` upper layers from the base here, if the result stays the same."""
        stack = _layer_stack(self.base)
        layers = list(stack.layer)  # type: ignore[arg-type]
        if count > len(layers):
            raise ConfigError(
                f"model.text.trainable_layers: {count} asked for, but the encoder has "
                f'{len(layers)} layers; give at most that, or "all" to train the embeddings too.'
            )
        self.eval()
        ids, mask = torch.arange(6).unsqueeze(0), torch.tensor([[True] * 4 + [False] * 2])
        whole = self(ids, mask)[mask]
        stack.layer = nn.ModuleList(layers[:-count])
        self.layers.extend(layers[-count:])
        try:
            same = torch.allclose(self(ids, mask)[mask], whole, atol=1e-4)
        except (TypeError, ValueError, AttributeError, RuntimeError):
            same = False
        if not same:
            raise _unsplittable(self.base)

    def train(self, mode: bool = True) -> TransformerTokens:
        """Set the mode of the trainable part; the frozen part stays in evaluation mode."""
        super().train(mode)
        if self.cacheable:
            self.base.eval()
        return self

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See `TokenEncoder.lower`."""
        with self._attention(ids.device, trains=not self.cacheable):
            output = self.base(input_ids=ids, attention_mask=mask.long())
        states: Tensor = output.last_hidden_state
        return states

    def upper(self, states: Tensor, mask: Tensor) -> Tensor:
        """See `TokenEncoder.upper`."""
        if not self.layers:
            return states
        from transformers.masking_utils import create_bidirectional_mask

        config: Any = self.base.config
        with self._attention(states.device, trains=True):
            attended = create_bidirectional_mask(config, states, mask.long())
            for layer in self.layers:
                output = layer(states, attended)
                states = output[0] if isinstance(output, tuple) else output
        return states

    @contextmanager
    def _attention(self, device: torch.device, trains: bool) -> Iterator[None]:
        """Select the fastest attention for captions on a device (benchmarks/notes).

        Captions are short: on the CPU the backward pass of PyTorch's fused attention takes several
        times as long as plain products and a softmax. They have many lengths: on a GPU cuDNN's
        attention, PyTorch's first choice there, makes a plan for every new length.
        """
        if device.type == "cuda":
            with sdpa_kernel(GPU_ATTENTION):
                yield
            return
        config: Any = self.base.config
        usual = config._attn_implementation
        if trains and torch.is_grad_enabled() and device.type == "cpu":
            config._attn_implementation = "eager"
        try:
            yield
        finally:
            config._attn_implementation = usual


def _layer_stack(model: nn.Module) -> nn.Module:
    for name in ("encoder", "transformer"):
        stack: nn.Module | None = getattr(model, name, None)
        if stack is not None and isinstance(getattr(stack, "layer", None), nn.ModuleList):
            return stack
    raise _unsplittable(model)


def _unsplittable(model: nn.Module) -> ConfigError:
    return ConfigError(
        f"model.text.trainable_layers: the layers of {type(model).__name__} cannot be run apart "
        'from it; give 0 (frozen) or "all".'
    )


class BiGRUTokens(TokenEncoder):
    """Word embeddings and a bidirectional GRU, its two directions averaged, as in SCAN and VSE++.

    Args:
        vocabulary: number of token ids.
        width: of the GRU's output.
        word_width: of the word embeddings.
    """

    cacheable = False

    def __init__(self, vocabulary: int, width: int = 1024, word_width: int = 300) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(vocabulary, word_width, padding_idx=0)
        self.gru = nn.GRU(word_width, width, batch_first=True, bidirectional=True)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See `TokenEncoder.lower`."""
        return self.embedding(ids)  # type: ignore[no-any-return]

    def upper(self, states: Tensor, mask: Tensor) -> Tensor:
        """See `TokenEncoder.upper`."""
        packed = pack_padded_sequence(
            states, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False
        )
        output, _ = pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=mask.shape[1]
        )
        forward, backward = output.chunk(2, dim=-1)
        return (forward + backward) / 2


def load_transformer(name: str) -> nn.Module:
    """Load a transformers encoder by name or local path, in float32, only from safetensors.

    Raises:
        ConfigError: if there is nothing that can be loaded.
    """
    from transformers import AutoModel

    try:
        model: nn.Module = from_pretrained(
            AutoModel, name, dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ConfigError(
            f"model.text.encoder: {name!r} cannot be loaded ({str(error).splitlines()[0]}); give "
            f'"{MINILM}", "bigru", a local folder or a hub name that can be reached.'
        ) from error
    return model


def build_transformer(config: dict[str, Any]) -> nn.Module:
    """Build the architecture of a stored transformers config, with random weights.

    Entries of the config that could name code, in a repository or a kernel to fetch, are dropped.
    """
    from transformers import AutoConfig, AutoModel

    plain = {key: value for key, value in config.items() if not _NAMES_CODE.search(key)}
    built: Any = AutoConfig.for_model(**plain)
    models: Any = AutoModel
    model: nn.Module = models.from_config(built, trust_remote_code=False)
    return model


_NAMES_CODE = re.compile(
    r"^_|auto_map|implementation|remote_code|use_kernels|quantization_config|custom_pipelines"
)


def weights_hash(name: str) -> str | None:
    """SHA-256 of a local encoder's safetensors files, or None for a hub name."""
    folder = Path(pretrained_path(name))
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    return hash_files(files)
