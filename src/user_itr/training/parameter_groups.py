"""Which parameters train at which learning rate."""

from __future__ import annotations

from typing import Any

from torch import nn

from user_itr.config.settings import OptimizerSettings
from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.token_encoders import BiGRUTokens


def parameter_groups(
    model: DualEncoder, objective: nn.Module, settings: OptimizerSettings
) -> list[dict[str, Any]]:
    """A pretrained text encoder's parameters at their own rate, everything else at the main one.

    What the objective learns (a temperature) has no weight decay. Frozen parameters are in no
    group.
    """
    tokens = model.text.tokens
    pretrained = set() if isinstance(tokens, BiGRUTokens) else {id(p) for p in tokens.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    main = [p for p in trained if id(p) not in pretrained]
    text = [p for p in trained if id(p) in pretrained]
    groups: list[dict[str, Any]] = [{"params": main, "lr": settings.rate}]
    if text:
        groups.append({"params": text, "lr": settings.text_rate})
    learned = [p for p in objective.parameters() if p.requires_grad]
    if learned:
        groups.append({"params": learned, "lr": settings.rate, "weight_decay": 0.0})
    return groups
