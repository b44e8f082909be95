"""A model to give away: no paths of the machine that trained it, half the size, calibrated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from user_itr.model.calibration import Calibration
from user_itr.model.checkpoint import TrainedModel, save_model
from user_itr.model.split_embeddings import SplitEmbeddings


def export_model(
    model: TrainedModel, out: Path, embedded: SplitEmbeddings | None = None, *, half: bool = True
) -> None:
    """Write a checkpoint that others can use.

    Args:
        model: to be exported.
        out: folder to make.
        embedded: the dev split by this model, to calibrate it on; none leaves it as it is.
        half: store floating point weights in float16; they are float32 again when loaded.

    Raises:
        CheckpointError: if `out` is there already.
        DataError: if all captions of the split score the same.
    """
    settings = model.settings.model_copy(
        update={
            "data": model.settings.data.model_copy(update={"path": None, "images": None}),
            "features": model.settings.features.model_copy(update={"store": None}),
        }
    )
    calibration = model.calibration
    if embedded is not None:
        calibration = Calibration.fit(
            embedded.images, embedded.captions, embedded.split.caption_image
        )
    save_model(out, replace(model, settings=settings, calibration=calibration), half=half)
