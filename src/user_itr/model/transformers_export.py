"""Write a published dual encoder's checkpoint as ONNX files, checked against PyTorch.

transformers reads the weights (safetensors, or pickles of tensors alone) and computes the
reference; no code of the model's folder is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from user_itr.errors import CheckpointError, UserItrError
from user_itr.features.onnx_export import export_graph
from user_itr.model.checkpoint import new_folder
from user_itr.model.exporting import SENTENCES, sample_images
from user_itr.runtime.dual_encoders.encoder import PublishedEncoder
from user_itr.runtime.dual_encoders.layout import Architecture, checkpoint_files

LEAST_COSINE = 0.9999
"""Of an embedding by ONNX Runtime to PyTorch's; below it nothing is written."""


def export_published(folder: Path, architecture: Architecture, out: Path) -> float:
    """Write the ONNX files of a checkpoint, in float32.

    Args:
        folder: of the checkpoint.
        architecture: of the model.
        out: folder to make: `onnx/text_model.onnx` and `onnx/vision_model.onnx`, their weights
            beside them.

    Returns:
        The least cosine of embeddings by ONNX Runtime to PyTorch's.

    Raises:
        CheckpointError: if the checkpoint is damaged or lacks weights, cannot be exported, or
            would compute something else.
    """
    model = load_checkpoint(folder, architecture)
    with new_folder(out) as partial:
        write_graphs(_graphs(folder, model, architecture), partial)
        cosine = _least_cosine(PublishedEncoder(folder, partial, ""), model)
        if not cosine >= LEAST_COSINE:
            raise CheckpointError(
                f"{folder}: its embeddings by ONNX Runtime have a cosine of {cosine:.4f} to "
                f"PyTorch's, and {LEAST_COSINE} is the least; give its ONNX files instead."
            )
    return cosine


def write_graphs(graphs: dict[str, Any], folder: Path) -> None:
    """Write graphs below `onnx/` in a folder, by the stems of their files, weights beside them."""
    import onnx

    place = folder / "onnx"
    place.mkdir()
    for name, graph in graphs.items():
        onnx.save_model(
            graph,
            str(place / f"{name}.onnx"),
            save_as_external_data=True,
            location=f"{name}.onnx_data",
        )


def load_checkpoint(folder: Path, architecture: Architecture) -> Any:
    """transformers' model of a checkpoint, complete, float32 and in evaluation mode.

    Raises:
        CheckpointError: if it is damaged, lacks weights, or holds more than tensors.
    """
    import transformers

    library: Any = transformers
    logging = library.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, report = getattr(library, architecture.family.architecture).from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=".safetensors" in checkpoint_files(folder)[1].name,
            weights_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # a damaged folder can fail in any of transformers' parsers
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{folder}: transformers cannot load it ({reason}).") from error
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{folder}: the checkpoint lacks {len(missing)} weights of its model, first "
            f"{missing[0]}; copy it again."
        )
    return model.eval()


class _TextGraph(nn.Module):
    """Token ids (B, L) int64, with a mask or without, to unnormalised embeddings (B, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Encode texts."""
        made = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        embeddings: Tensor = made.pooler_output
        return embeddings


class _VisionGraph(nn.Module):
    """Pixels (B, 3, H, W) float32 to unnormalised embeddings (B, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Encode images."""
        embeddings: Tensor = self.model.get_image_features(pixel_values=pixel_values).pooler_output
        return embeddings


def _graphs(folder: Path, model: Any, architecture: Architecture) -> dict[str, Any]:
    """The ONNX graphs of both sides, by the stems of their files."""
    text = text_graph(folder, _TextGraph(model).eval(), architecture)
    side = model.config.vision_config.image_size
    pixels = {"pixel_values": torch.zeros(2, 3, side, side)}
    batch = {0: torch.export.Dim("batch")}
    with exporting(folder, "image encoder"):
        vision = export_graph(
            _VisionGraph(model).eval(), pixels, {"pixel_values": batch}, "image_embeds"
        )
    return {"text_model": text, "vision_model": vision}


def text_graph(folder: Path, module: nn.Module, architecture: Architecture) -> Any:
    """The ONNX graph of a text encoder that takes token ids, and a mask where its family needs it.

    Raises:
        CheckpointError: if PyTorch cannot export it; the message names `folder`.
    """
    family = architecture.family
    length = architecture.positions
    varying: dict[int, Any] = {0: torch.export.Dim("batch")}
    if not family.padded_to_positions:
        varying[1] = torch.export.Dim("length", min=2, max=length)
        length = min(7, length)
    tokens = {"input_ids": torch.arange(2 * length).reshape(2, length) % 7}
    if family.needs_mask or family.padded_to_positions:
        tokens["attention_mask"] = torch.ones(2, length, dtype=torch.int64)
    with exporting(folder, "text encoder"):
        return export_graph(module, tokens, dict.fromkeys(tokens, varying), "text_embeds")


@contextmanager
def exporting(folder: Path, side: str) -> Iterator[None]:
    """Turn what PyTorch raises into a `CheckpointError` that names the folder and the side."""
    try:
        yield
    except UserItrError:
        raise
    except Exception as error:  # the exporter's classes have no common one
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{folder}: PyTorch cannot write its {side} as ONNX ({reason}); give its ONNX files "
            "instead."
        ) from error


def _least_cosine(exported: PublishedEncoder, model: Any) -> float:
    pixels = np.stack([exported.preprocess(image) for image in sample_images()])
    with torch.inference_mode():
        images = model.get_image_features(torch.from_numpy(exported.normalized(pixels)))
        texts = [
            model.get_text_features(
                **{
                    name: torch.from_numpy(values)
                    for name, values in exported.text_inputs([text]).items()
                    if name in ("input_ids", "attention_mask")
                }
            ).pooler_output
            for text in SENTENCES
        ]
    wanted = [images.pooler_output, torch.cat(texts)]
    made = [exported.encode_pixels(pixels), exported.encode_text(SENTENCES)]
    return min(
        float((ours * nn.functional.normalize(theirs).numpy()).sum(axis=1).min())
        for ours, theirs in zip(made, wanted, strict=True)
    )
