"""Models of open_clip, loaded from this machine alone; of weights tensors alone are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from user_itr.errors import CheckpointError, MissingExtraError
from user_itr.hub.client import cached_file, offline
from user_itr.runtime.dual_encoders.open_clip_names import OpenClipModel

_DEFAULT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def load_open_clip(named: OpenClipModel) -> tuple[Any, Any, Any]:
    """The network, in float32 and evaluation mode, its image transform and a maker of tokenizers.

    Raises:
        CheckpointError: if there is no such model, or its weights are not on this machine, damaged
            or of another model.
        MissingExtraError: if open_clip is not installed.
    """
    try:
        import open_clip
    except ImportError:
        raise MissingExtraError(
            f"{named.name} needs open_clip; run `pip install 'user-itr[train,open_clip]'`."
        ) from None
    _require_weights(open_clip, named)
    with offline(), _errors(named.name):
        network, transform = open_clip.create_model_from_pretrained(
            named.model, pretrained=named.weights or None
        )

    def tokenizer() -> Any:
        with offline(), _errors(named.name):
            return open_clip.get_tokenizer(named.model)

    return network.float().eval(), transform, tokenizer


@contextmanager
def _errors(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # unknown names and other weights have no common class
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{name}: open_clip cannot load it ({reason}); see `open_clip.list_pretrained()`."
        ) from error


def _require_weights(library: Any, named: OpenClipModel) -> None:
    """Make sure that the weights are on this machine: open_clip would download them."""
    if not named.weights or named.file is not None:
        return
    known = library.get_pretrained_cfg(named.model, named.weights)
    if not known:
        tags = ", ".join(library.list_pretrained_tags_by_model(named.model))
        raise CheckpointError(
            f"{named.name}: {named.weights!r} is neither a file nor a tag of open_clip "
            f"({tags or 'it has none of this model'})."
        )
    if not any(found.is_file() for found in _places(known)):
        raise CheckpointError(
            f"{named.name}: these weights are not on this machine, and user-itr does not download "
            f"them; run `python -c \"import open_clip; open_clip.create_model('{named.model}', "
            f"'{named.weights}')\"`, or give a file of weights."
        )


def _places(known: dict[str, Any]) -> Iterator[Path]:
    """Where open_clip keeps the weights of a tag."""
    repository, _, name = str(known.get("hf_hub", "")).rpartition("/")
    if repository:
        names = (str(Path(name).with_suffix(".safetensors")), name) if name else _DEFAULT_FILES
        for one in names:
            found = cached_file(repository, one)
            if found is not None:
                yield found
    elif known.get("url"):
        yield Path.home() / ".cache" / "clip" / Path(str(known["url"])).name
