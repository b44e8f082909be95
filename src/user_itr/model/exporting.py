"""Export a model to share: ONNX graphs without PyTorch or paths of this machine.

`user_itr.runtime` runs the files written here; `user_itr.runtime.exported` lists them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from user_itr.data.images import load_image
from user_itr.errors import CheckpointError, ConfigError, UserItrError
from user_itr.evaluation.metrics import CrossModalMetrics, evaluate_embeddings
from user_itr.features.onnx_export import export_graph
from user_itr.features.preprocessing import Squash
from user_itr.features.regions import PRECOMPUTED
from user_itr.features.views import named_views
from user_itr.model.card import CARD_FILE, UNKNOWN_LICENCE, Figures, model_card
from user_itr.model.checkpoint import CONFIG_FILE, TrainedModel, new_folder, write_model
from user_itr.model.checkpoint import WEIGHTS_FILE as CHECKPOINT_WEIGHTS
from user_itr.model.embedder import Embedder
from user_itr.model.graphs import ImageGraph, TextGraph, longest_sentence
from user_itr.model.onnx_files import Precision, WeightsFile
from user_itr.model.split_embeddings import SplitEmbeddings
from user_itr.model.vocabulary import VOCABULARY_FILE
from user_itr.runtime.encoder import OnnxEncoder
from user_itr.runtime.exported import (
    DESCRIPTION_FILE,
    IMAGE_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    Exported,
    Pixels,
    read_exported,
)

LEAST_COSINE = {"float32": 0.999, "float16": 0.999, "int8": 0.98}
"""Least cosine of an export's embeddings to PyTorch's; a lower one is refused."""

SAMPLE = 16
"""Number of captions and of images that an export is checked on."""

SENTENCES = (
    "two dogs play in the snow",
    "a man in a red jacket climbs a rock",
    "water",
    "a crowd of people, some of them in costumes, walks along a street in front of old houses",
)


def export_model(
    model: TrainedModel,
    out: Path,
    embedded: SplitEmbeddings | None = None,
    *,
    precision: Precision = "float16",
    licence: str = UNKNOWN_LICENCE,
) -> float:
    """Write a model that others can use, with PyTorch or without, and a card for the hub.

    In float16 and float32 the folder is a checkpoint as well, and has the fingerprint of the one
    it was made from: an index made with one is searched with the other. An int8 export has its own
    fingerprint, and only ONNX Runtime computes it.

    Args:
        model: to be exported.
        out: folder to make.
        embedded: the dev split by this model, to check the export, and to measure the model where
            it has no metrics.
        precision: of the stored weights; they are float32 again when loaded.
        licence: of the model, for its card; see `check_licence`.

    Returns:
        The least cosine of the export's embeddings to PyTorch's, over images and captions.

    Raises:
        CheckpointError: if `out` is there already, the model cannot be exported, or the export
            computes different embeddings.
        MissingExtraError: if the exporter is not installed.
    """
    model, metrics = _without_paths(model), None
    if embedded is not None:
        split = embedded.split
        metrics = evaluate_embeddings(embedded.images, embedded.captions, split.caption_image)
        if not model.metrics:
            model = replace(model, metrics={"split": split.split, **metrics.to_dict()})
    with new_folder(out) as folder:
        fingerprint = write_model(
            folder,
            model,
            half=precision == "float16",
            exported_from=model.fingerprint or None,
        )
        cosine = add_graphs(folder, replace(model, fingerprint=fingerprint), precision, embedded)
        if embedded is not None and precision == "int8":
            seen = embedded.split.image_paths is not None
            metrics = _measure(folder, embedded) if seen else None
        figures = None
        if embedded is not None and metrics is not None:
            counts = len(embedded.images), len(embedded.captions)
            figures = Figures(embedded.split.split, *counts, metrics)
        card = model_card(out.resolve().name, read_exported(folder), figures, licence)
        (folder / CARD_FILE).write_text(card, "utf-8")
        return cosine


def with_views(model: TrainedModel, names: Sequence[str]) -> TrainedModel:
    """The model of other views: with a fingerprint of its own, without metrics; see `named_views`.

    Raises:
        ConfigError: if a view is unknown or repeats, or the first is not the whole photograph.
    """
    try:
        views = tuple(view.name for view in named_views(names))
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    features = model.settings.features
    if views == features.views:
        return model
    features = features.model_copy(update={"views": views})
    return replace(
        model,
        settings=model.settings.model_copy(update={"features": features}),
        metrics={},
        fingerprint=hashlib.sha256(" ".join((model.fingerprint, *views)).encode()).hexdigest(),
    )


def _measure(folder: Path, embedded: SplitEmbeddings) -> CrossModalMetrics:
    """Give an export its own figures instead of the model's."""
    encoder, split = OnnxEncoder(folder), embedded.split
    images = encoder.encode_images(list(split.image_paths or ()))
    captions = encoder.encode_text(split.captions)
    metrics = evaluate_embeddings(images, captions, split.caption_image)
    values = json.loads((folder / DESCRIPTION_FILE).read_text("utf-8"))
    values["description"] += f", {split.split} rsum {metrics.rsum:.1f}"
    _describe(folder, Exported.model_validate(values))
    return metrics


def _describe(folder: Path, exported: Exported) -> None:
    values = exported.model_dump(mode="json")
    if len(exported.views) == 1:  # earlier releases do not know them
        del values["views"]
    text = json.dumps(values, indent=1, ensure_ascii=False)
    (folder / DESCRIPTION_FILE).write_text(text + "\n", "utf-8")


def add_graphs(
    folder: Path,
    model: TrainedModel,
    precision: Precision = "float16",
    embedded: SplitEmbeddings | None = None,
) -> float:
    """Make the folder of a checkpoint that of an exported model; as `export_model`.

    Args:
        folder: holds the checkpoint of `model`, its weights in `precision`; int8 takes those away.
        model: of the checkpoint.
        precision: of the weights.
        embedded: see `export_model`.
    """
    embedder = Embedder(model, "cpu", "torch")
    regions, guide = _inputs(embedder)
    checkpoint = folder / CHECKPOINT_WEIGHTS
    weights = WeightsFile(
        folder / WEIGHTS_FILE, precision, None if precision == "int8" else checkpoint
    )
    try:
        for name, graph in _graphs(embedder).items():
            weights.take_weights(graph)
            (folder / name).write_bytes(graph.SerializeToString())
    finally:
        weights.close()
    names = [TEXT_FILE, IMAGE_FILE, WEIGHTS_FILE, TOKENIZER_FILE]
    fingerprint, description = model.fingerprint, embedder.description
    if precision == "int8":
        checkpoint.unlink()
        (folder / CONFIG_FILE).unlink()
        fingerprint = _fingerprint_of([folder / name for name in names])
        description = description.partition(", dev rsum")[0] + ", int8"
    else:
        names.append(CHECKPOINT_WEIGHTS)
    if model.vocabulary is not None:
        names.append(VOCABULARY_FILE)
    views = model.settings.features.views
    exported = Exported(
        format_version=1 if len(views) == 1 else 2,
        fingerprint=fingerprint,
        description=description,
        dim=embedder.dim,
        precision=precision,
        max_tokens=longest_sentence(model),
        regions=regions,
        guide=guide,
        views=views,
        draft=embedder.draft,
        files={name: (folder / name).stat().st_size for name in names},
    )
    _describe(folder, exported)
    cosine = _least_cosine(OnnxEncoder(folder), embedder, embedded)
    if not cosine >= LEAST_COSINE[precision]:
        raise CheckpointError(
            f"the exported model's embeddings have a cosine of {cosine:.4f} to PyTorch's, and "
            f"{LEAST_COSINE[precision]} is the least; export it with another --precision."
        )
    return cosine


def _without_paths(model: TrainedModel) -> TrainedModel:
    settings = model.settings.model_copy(
        update={
            "data": model.settings.data.model_copy(update={"path": None, "images": None}),
            "features": model.settings.features.model_copy(update={"store": None}),
        }
    )
    return replace(model, settings=settings)


def _inputs(embedder: Embedder) -> tuple[Pixels, Pixels | None]:
    """The preprocessing of the networks, if it can be described without PyTorch."""
    name = str(embedder.model.features["backbone"])
    if name == PRECOMPUTED:
        raise CheckpointError(
            "the model was trained on precomputed features and has no image network; only a model "
            "that was trained on images can be exported."
        )
    regions = embedder.backbone.worker_preprocess
    guide = None if embedder.guide is None else embedder.guide.worker_preprocess
    if isinstance(regions, Squash):
        if embedder.guide is None:
            return _pixels(regions), None
        if isinstance(guide, Squash):
            return _pixels(regions), _pixels(guide)
    also = f" guided by {embedder.model.guide['backbone']}" if embedder.model.guide else ""
    raise CheckpointError(
        f"backbone {name}{also}: what it does to an image before its network cannot be exported; "
        "export a model of EfficientNet-Lite backbones."
    )


def _pixels(squash: Squash) -> Pixels:
    return Pixels(width=squash.width, height=squash.height, resample=int(squash.resample))


def _graphs(embedder: Embedder) -> dict[str, Any]:
    """The ONNX graphs of both sides, by the names of their files."""
    model = embedder.model
    batch = torch.export.Dim("batch")
    length = torch.export.Dim("length", min=2, max=longest_sentence(model))
    longest = min(7, longest_sentence(model))
    ids = torch.arange(2 * longest).reshape(2, longest) % model.tokenizer.vocabulary_size
    pixels = embedder.preprocess(Image.new("RGB", (64, 48)))
    fields = pixels.dtype.names
    seen = {"regions": pixels} if fields is None else {name: pixels[name] for name in fields}
    images = {name: torch.from_numpy(np.stack([part, part])) for name, part in seen.items()}
    captions = {"ids": ids, "lengths": torch.tensor([longest, longest - 1])}
    with _exporting("text encoder"):
        graph = TextGraph(model).eval()
        text = export_graph(graph, captions, {"ids": {0: batch, 1: length}, "lengths": {0: batch}})
    with _exporting("image network"):
        sides = ImageGraph(model, embedder.backbone, embedder.guide).eval()
        image = export_graph(sides, images, {name: {0: batch} for name in images})
    return {TEXT_FILE: text, IMAGE_FILE: image}


@contextmanager
def _exporting(side: str) -> Iterator[None]:
    try:
        yield
    except UserItrError:
        raise
    except Exception as error:  # the exporter's classes have no common one
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"PyTorch cannot write the model's {side} as ONNX ({reason}); use the checkpoint as it "
            "is, where PyTorch is installed."
        ) from error


def _least_cosine(
    exported: OnnxEncoder, embedder: Embedder, embedded: SplitEmbeddings | None
) -> float:
    captions: Sequence[str] = SENTENCES
    images = sample_images()
    if embedded is not None:
        captions = (*SENTENCES, *embedded.split.captions[:SAMPLE])
        paths = (embedded.split.image_paths or ())[:SAMPLE]
        images += [load_image(path, draft=embedder.draft) for path in paths]
    pairs = (
        (exported.encode_text(captions), embedder.encode_text(captions)),
        (exported.encode_images(images), embedder.encode_images(images)),
    )
    return min(float((ours * theirs).sum(axis=1).min()) for ours, theirs in pairs)


def sample_images() -> list[Image.Image]:
    """Three images: coarse noise, and a gradient in either direction."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    slope = np.linspace(0, 255, 64, dtype=np.uint8)
    colours = np.stack(np.broadcast_arrays(slope[:, None], slope[None], slope[::-1, None]), -1)
    coarse = Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC)
    return [coarse, Image.fromarray(colours), Image.fromarray(colours[:, ::-1].copy())]


def _fingerprint_of(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
