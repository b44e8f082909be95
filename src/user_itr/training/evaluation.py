"""Evaluating the model in training on a prepared split."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch

from user_itr.evaluation.metrics import CrossModalMetrics, evaluate_embeddings
from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.image_encoder import mean_of_views
from user_itr.model.tokenizer import CPU_TOKENS
from user_itr.training.preparation import Split
from user_itr.training.ranks import Ranks

BATCH = 256


@torch.no_grad()
def evaluate_split(
    model: DualEncoder,
    split: Split,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
    ranks: Ranks | None = None,
) -> CrossModalMetrics:
    """Recall both ways of a split, each image and each text encoded once; modes are restored.

    Ranks take turns encoding batches; rank 0 computes the recalls, and all ranks receive them.

    Args:
        model: the query encoders.
        split: prepared inputs.
        device: where the model is.
        autocast: precision context of the training.
        ranks: of the training, if there are several.
    """
    first, step = (0, BATCH) if ranks is None else (ranks.index * BATCH, ranks.count * BATCH)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    width = model.text.linear.out_features
    images = np.zeros((len(split.images), width), dtype=np.float32)
    captions = np.zeros((len(split.captions), width), dtype=np.float32)
    with autocast():
        for start in range(first, len(images), step):
            part = slice(start, start + BATCH)
            guides = None
            if split.guides is not None:
                guides = torch.from_numpy(split.guides[part]).float().to(device)
            outputs = []
            for array, rows in ((split.regions, split.rows), *split.views):
                regions = torch.from_numpy(np.asarray(array[rows[part]], dtype=np.float32))
                outputs.append(model.image(regions.to(device), guide=guides))
            images[part] = mean_of_views(torch.stack(outputs, dim=1)).cpu().numpy()
        texts, text_of_caption = split.captions.distinct()
        own = slice(0, None) if ranks is None else slice(ranks.index, None, ranks.count)
        most = CPU_TOKENS if device.type == "cpu" else None
        for rows in split.captions.batches(texts, BATCH, most)[own]:
            if split.states is None:
                tokens, mask = split.captions.padded(rows)
            else:
                positions, real = split.captions.positions(rows)
                tokens = torch.from_numpy(np.asarray(split.states[positions])).float()
                mask = torch.from_numpy(real)
            output = model.text(tokens.to(device), mask.to(device))
            captions[rows] = output.cpu().numpy()
    for module, training in modes:  # not all modules of a momentum encoder have the same
        module.training = training
    if ranks is not None:
        for embeddings in (images, captions):
            ranks.add_up(embeddings)
    captions = captions[texts[text_of_caption]]
    if ranks is None:
        return evaluate_embeddings(images, captions, split.images.caption_image)
    metrics = None
    if ranks.first:
        metrics = evaluate_embeddings(images, captions, split.images.caption_image)
    found = ranks.broadcast(metrics)
    assert found is not None
    return found
