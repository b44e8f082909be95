"""Checks of an untrusted checkpoint before memory is allocated for it.

A hash detects damage, but not forgery: an attacker can write it too. Each check raises a ValueError
that names the mismatch.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor, nn

from user_itr.features.compact import Compactor
from user_itr.model.tokenizer import CaptionTokenizer

PACKAGED_MOST = 50_000_000
"""Numbers that the weights of an installed package may have: MiniLM has 22,713,216."""

SLACK = 1_000_000
"""Numbers that a configuration may ask for beyond those of its weights."""


class _FeatureIdentity(BaseModel):
    """Required facts about the features of a model; more are allowed."""

    model_config = ConfigDict(extra="allow", frozen=True)

    backbone: str
    weights_hash: str
    regions: int = Field(gt=0, lt=2**31)
    width: int = Field(gt=0, lt=2**31)


def check_identity(name: str, identity: Mapping[str, JsonValue] | None) -> None:
    """Check that features or guide are named, with their sizes; None without a guide."""
    if identity is None:
        return
    try:
        _FeatureIdentity.model_validate(identity)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{name}.{first['loc'][0]}: {first['msg']}") from None


def check_tokenizer(tokenizer: CaptionTokenizer, vocabulary: int, rows: int) -> None:
    """Check the vocabulary's size, and that no token lies beyond the rows of embeddings."""
    if tokenizer.vocabulary_size != vocabulary or tokenizer.largest_id >= rows:
        raise ValueError(
            f"tokenizer.json has {tokenizer.vocabulary_size:,} tokens up to id "
            f"{tokenizer.largest_id:,}, but config.json tells of {vocabulary:,}"
        )


def check_parts(
    tensors: Mapping[str, Tensor], compactor: Compactor | None, guide_compactor: Compactor | None
) -> None:
    """Check that every tensor belongs to a part of the model."""
    parts = {"model"}
    parts |= set() if compactor is None else {"compactor"}
    parts |= set() if guide_compactor is None else {"guide_compactor"}
    for name in tensors:
        if name.partition(".")[0] not in parts:
            raise ValueError(f"model.safetensors holds {name}, which is not part of this model")


def check_size(
    asked: tuple[int, int] | None, state: Mapping[str, Tensor], *, packaged: bool
) -> None:
    """Check that the configuration does not ask for far more memory than its weights.

    Args:
        asked: numbers of the model without its transformer, and of that; see `dual_encoder_size`.
        state: the weights.
        packaged: whether those of the transformer come from a package.
    """
    if asked is None:
        return
    ours, base = asked
    stored = sum(tensor.numel() for tensor in state.values())
    if packaged and base <= PACKAGED_MOST:
        base = 0
    if ours + base > 2 * stored + SLACK:  # smaller mismatches are reported per tensor
        raise ValueError(
            f"config.json asks for {ours + base:,} numbers, model.safetensors has {stored:,}"
        )


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load exactly the module's tensors, with its dtypes.

    Raises:
        ValueError, RuntimeError: if they do not fit.
    """
    for name, wanted in module.state_dict().items():
        found = state.get(name)
        if found is not None and found.is_floating_point() != wanted.is_floating_point():
            raise ValueError(f"{name} holds {found.dtype}, not {wanted.dtype}")
    module.load_state_dict(state)
