"""From the name of a model to the model: by ONNX Runtime where it was exported, else by PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from user_itr.errors import CheckpointError, ConfigError
from user_itr.extras import extra_needed
from user_itr.hub.names import announced_model
from user_itr.pretrained import DEFAULT
from user_itr.runtime.encoder import OnnxEncoder
from user_itr.runtime.exported import is_exported

if TYPE_CHECKING:
    import torch

    from user_itr.model.embedder import Embedder
    from user_itr.runtime.dual_encoders.encoder import PublishedEncoder

Runtime = Literal["auto", "torch", "onnxruntime"]
"""What computes a model. auto takes ONNX Runtime for exported models, and for a checkpoint's
backbones on a CPU where they gain."""


def as_runtime(name: str, where: str) -> Runtime:
    """The runtime of this name.

    Raises:
        ConfigError: if there is none; the message begins with `where` the name came from.
    """
    for runtime in get_args(Runtime):
        if name == runtime:
            return runtime  # type: ignore[no-any-return]
    raise ConfigError(f"{where} {name!r}: use {', '.join(get_args(Runtime))}.")


def load(
    path: str | Path = DEFAULT,
    device: str | torch.device | None = None,
    runtime: Runtime = "auto",
) -> OnnxEncoder | PublishedEncoder | Embedder:
    """Load a trained model, by default the one that ships.

    An exported model is computed by ONNX Runtime, and PyTorch is not imported. A run, a checkpoint,
    another device than the CPU and the runtime "torch" take PyTorch, which the extra `train`
    brings. Embeddings of both may be compared. A published dual encoder (CLIP, SigLIP,
    Chinese-CLIP, AltCLIP) is computed by ONNX Runtime; where its folder holds a checkpoint and no
    ONNX files, these are made once, which takes the extra `train`.

    Args:
        path: an exported model's folder, a checkpoint's, a run's (its best checkpoint), a published
            dual encoder's or one of its ONNX files; or a name of a model that ships or was fetched
            before (see `user_itr.hub.names.resolve_model`). Nothing is downloaded.
        device: where PyTorch computes, "cuda" for instance.
        runtime: "auto", "onnxruntime" or "torch"; see `Embedder` for a checkpoint's.

    Raises:
        CheckpointError: if it is not on this machine, is damaged, or a part it names is not
            installed.
        ConfigError: if PyTorch is asked for to compute a published dual encoder.
        MissingExtraError: if it takes PyTorch, and that is not installed.
    """
    folder = announced_model(path).path
    light = runtime != "torch" and (device is None or str(device) == "cpu")
    exported = is_exported(folder)
    if exported and light:
        return OnnxEncoder(folder)
    from user_itr.runtime.dual_encoders.layout import is_published

    if exported:
        if not (folder / "config.json").is_file():
            raise CheckpointError(
                f"{folder}: is an int8 export, which ONNX Runtime alone computes, on the CPU; "
                "give the run that it was made from."
            )
    elif is_published(folder):
        if not light:
            raise ConfigError(
                f"{folder}: is a published dual encoder, which ONNX Runtime alone computes, on the "
                "CPU; leave the device and the runtime out."
            )
        from user_itr.runtime.dual_encoders.loading import load_published

        return load_published(folder)
    with extra_needed(f"{path}: a model that is computed by PyTorch"):
        from user_itr.model import embedder
    return embedder.load(folder, device, runtime)
