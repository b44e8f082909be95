"""Build an objective from settings."""

from __future__ import annotations

from typing import Any

from user_itr.config.settings import ObjectiveSettings
from user_itr.objective.contrastive import ContrastiveObjective
from user_itr.objective.infonce import InfoNCEObjective
from user_itr.objective.triplet import TripletObjective
from user_itr.objective.uto import UnifiedObjective


def build_objective(settings: ObjectiveSettings) -> ContrastiveObjective:
    """Build the objective that the settings name."""
    weights: dict[str, Any] = {
        "batch_weight": settings.batch_weight,
        "queue_weight": settings.queue_weight,
        "queue_start": settings.queue_start,
        "mask_siblings": settings.mask_siblings,
    }
    if settings.kind == "triplet":
        return TripletObjective(
            settings.margin, settings.negatives, settings.summed_epochs, **weights
        )
    if settings.kind == "infonce":
        return InfoNCEObjective(settings.temperature, settings.learned_temperature, **weights)
    return UnifiedObjective(settings.sharpness, settings.threshold, **weights)
