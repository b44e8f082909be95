"""A model of open_clip written down as a folder of ONNX files, checked against PyTorch.

The folder is complete: what the image encoder sees and the tokenizer are in it, so that neither
open_clip nor PyTorch is needed afterwards.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from user_itr.errors import CheckpointError
from user_itr.features.onnx_export import export_graph
from user_itr.features.open_clip_loading import load_open_clip
from user_itr.model.checkpoint import new_folder
from user_itr.model.exporting import SENTENCES, sample_images
from user_itr.model.transformers_export import (
    LEAST_COSINE,
    exporting,
    text_graph,
    write_graphs,
)
from user_itr.runtime.dual_encoders.encoder import PublishedEncoder
from user_itr.runtime.dual_encoders.families import FAMILIES
from user_itr.runtime.dual_encoders.layout import Architecture
from user_itr.runtime.dual_encoders.open_clip_names import OpenClipModel
from user_itr.runtime.dual_encoders.open_clip_text import CLEANINGS
from user_itr.runtime.dual_encoders.word_files import clip_tokenizer


def export_open_clip(named: OpenClipModel, out: Path) -> float:
    """Write the folder of a model.

    Args:
        named: the model.
        out: folder to make, in the layout of transformers.js.

    Returns:
        The least cosine of embeddings by ONNX Runtime to PyTorch's.

    Raises:
        CheckpointError: see `load_open_clip`; also if the model cannot be exported, or the ONNX
            form would compute something else.
        MissingExtraError: if open_clip is not installed.
    """
    name = named.name
    network, _, make_tokenizer = load_open_clip(named)
    tokenizer = make_tokenizer()
    pixels = _pixel_settings(name, network)
    words, settings = _words(name, tokenizer)
    side = pixels["size"].get("height", pixels["size"].get("shortest_edge"))
    images = {"pixel_values": torch.zeros(2, 3, side, side)}
    with torch.inference_mode():
        dim = network.encode_image(images["pixel_values"][:1]).shape[1]
    family = replace(FAMILIES["open_clip"], pad_token=settings["pad_token"])
    architecture = Architecture(family, dim, settings["model_max_length"])
    with exporting(Path(name), "image encoder"):
        vision = export_graph(
            _Side(network.encode_image).eval(),
            images,
            {"pixel_values": {0: torch.export.Dim("batch")}},
            "image_embeds",
        )
    text = text_graph(Path(name), _Side(network.encode_text).eval(), architecture)
    config = {
        "model_type": "open_clip",
        "projection_dim": dim,
        "text_config": {"max_position_embeddings": settings["model_max_length"]},
    }
    with new_folder(out) as partial:
        write_graphs({"text_model": text, "vision_model": vision}, partial)
        for file, values in (
            ("config.json", config),
            ("preprocessor_config.json", pixels),
            ("tokenizer_config.json", settings),
        ):
            (partial / file).write_text(json.dumps(values, indent=2), "utf-8")
        words.save(str(partial / "tokenizer.json"))
        cosine = _least_cosine(PublishedEncoder(partial), network, tokenizer)
        if not cosine >= LEAST_COSINE:
            raise CheckpointError(
                f"{name}: its embeddings by ONNX Runtime have a cosine of {cosine:.4f} to "
                f"PyTorch's, and {LEAST_COSINE} is the least."
            )
    return cosine


def _pixel_settings(name: str, network: Any) -> dict[str, Any]:
    """`preprocessor_config.json` of what open_clip says."""
    config = dict(network.visual.preprocess_cfg)
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode = config.get("resize_mode", "shortest")
    if mode not in ("shortest", "squash") or height != width:
        raise CheckpointError(
            f"{name}: scales images by {mode!r} to {height} x {width}; user-itr has squares, by "
            "'shortest' or 'squash'."
        )
    square = {"height": height, "width": width}
    resample = Image.Resampling[str(config.get("interpolation", "bicubic")).upper()]
    return {
        "image_processor_type": "OpenCLIPImageProcessor",
        "size": {"shortest_edge": height} if mode == "shortest" else square,
        "do_center_crop": mode == "shortest",
        "crop_size": square,
        "resample": int(resample),
        "image_mean": list(config["mean"]),
        "image_std": list(config["std"]),
    }


def _words(name: str, tokenizer: Any) -> tuple[Tokenizer, dict[str, Any]]:
    """`tokenizer.json` and `tokenizer_config.json` of open_clip's tokenizer."""
    cleaning = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    odd = [
        what
        for what, there in (
            (f"cleaning {cleaning}", cleaning not in CLEANINGS),
            ("reduction_mask", getattr(tokenizer, "reduction_fn", None) is not None),
            ("tokenizer_mode", bool(getattr(tokenizer, "tokenizer_mode", ""))),
            ("strip_sep_token", getattr(tokenizer, "strip_sep_token", False)),
        )
        if there
    ]
    if odd:
        raise CheckpointError(f"{name}: its tokenizer has {odd[0]}, which user-itr does not know.")
    settings = {"cleaning": cleaning, "model_max_length": int(tokenizer.context_length)}
    if hasattr(tokenizer, "bpe_ranks"):
        special = [tokenizer.decoder[number] for number in tokenizer.all_special_ids[:2]]
        merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
        words = clip_tokenizer(tokenizer.encoder, merges, *special)
        return words, {**settings, "pad_token": tokenizer.decoder[0]}
    fast = tokenizer.tokenizer
    words = Tokenizer.from_str(fast.backend_tokenizer.to_str())
    return words, {
        **settings,
        "pad_token": str(fast.pad_token),
        "padding_side": fast.padding_side,
    }


class _Side(nn.Module):
    """One side of a model: its only input to unnormalised embeddings (B, D)."""

    def __init__(self, encode: Any) -> None:
        super().__init__()
        self.network = encode.__self__
        self.encode = encode.__func__

    def forward(self, values: Tensor, _mask: Tensor | None = None) -> Tensor:
        """Encode a batch."""
        embeddings: Tensor = self.encode(self.network, values)
        return embeddings


def _least_cosine(exported: PublishedEncoder, network: Any, tokenizer: Any) -> float:
    pixels = np.stack([exported.preprocess(image) for image in sample_images()])
    with torch.inference_mode():
        images = network.encode_image(torch.from_numpy(exported.normalized(pixels)))
        texts = network.encode_text(tokenizer(list(SENTENCES)))
    made = [exported.encode_pixels(pixels), exported.encode_text(SENTENCES)]
    return min(
        float((ours * nn.functional.normalize(theirs).numpy()).sum(axis=1).min())
        for ours, theirs in zip(made, (images, texts), strict=True)
    )
