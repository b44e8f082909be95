"""The feature store: a folder with `features.npy`, mapped into memory, and `manifest.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from user_itr.errors import FeatureError
from user_itr.features.backbones.base import Backbone, hash_files
from user_itr.files import map_array, parse_json, sync_names

FORMAT_VERSION = 1
ARRAY_FILE = "features.npy"
MANIFEST_FILE = "manifest.json"
PROGRESS_FILE = "progress.json"

SHA256 = r"^[0-9a-f]{64}$"


class SkippedImage(BaseModel):
    """An image that has no row in the store, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_id: str
    reason: str


class FeatureManifest(BaseModel):
    """What a store holds and how it was made; no time stamps, so equal runs give equal bytes.

    `image_ids` has one id a row of the array, in the order of the extraction. A skipped image has
    no row. `fingerprint` stands for the whole request (backbone, images, batch size).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    backbone: str
    weights_hash: str = Field(pattern=SHA256)
    preprocessing: dict[str, JsonValue]
    regions: int = Field(gt=0)
    width: int = Field(gt=0)
    dtype: Literal["float16"] = "float16"
    batch_size: int = Field(gt=0)
    fingerprint: str = Field(pattern=SHA256)
    features_sha256: str = Field(pattern=SHA256)
    created_with: dict[str, str]
    skipped: tuple[SkippedImage, ...] = ()
    image_ids: tuple[str, ...]

    def identity(self) -> dict[str, JsonValue]:
        """The fields that `Backbone.identity` gives, of the backbone that made the store."""
        fields = {"backbone", "weights_hash", "preprocessing", "regions", "width"}
        return self.model_dump(mode="json", include=fields)


@dataclass(frozen=True)
class FeatureStore:
    """An opened store: `array` is (N, K, d) float16, read from disk as it is used.

    Open one with `FeatureStore.open`.
    """

    path: Path
    manifest: FeatureManifest
    array: np.ndarray

    @classmethod
    def open(cls, path: Path) -> FeatureStore:
        """Open the store in the folder `path`; the array is mapped, not read.

        Raises:
            FeatureError: if there is no finished store, its format is newer than this program, a
                file is damaged or cut short, or array and manifest disagree.
        """
        manifest = read_manifest(path / MANIFEST_FILE)
        file = path / ARRAY_FILE
        try:
            array = map_array(file)
            surplus = file.stat().st_size - array.offset - array.nbytes
        except FileNotFoundError:
            raise FeatureError(f"{file}: no such file; {_AGAIN}.") from None
        except (ValueError, OSError, AttributeError) as error:
            raise FeatureError(
                f"{file}: damaged or cut short ({str(error).splitlines()[0].rstrip('.')}); "
                f"{_AGAIN}."
            ) from error
        expected = (len(manifest.image_ids), manifest.regions, manifest.width)
        if array.dtype != np.float16 or array.shape != expected or surplus:
            raise FeatureError(
                f"{file}: holds {array.dtype} {array.shape} and {surplus} bytes more, but "
                f"{MANIFEST_FILE} tells of float16 {expected}; {_AGAIN}."
            )
        return cls(path, manifest, array)

    def __len__(self) -> int:
        return len(self.manifest.image_ids)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.manifest.image_ids)}

    def holds(self, image_ids: Sequence[str]) -> bool:
        """Whether every one of these images has a row."""
        return self._row_of.keys() >= set(image_ids)

    def rows(self, image_ids: Sequence[str]) -> np.ndarray:
        """The rows of `array` that hold these images: (len(image_ids),) int64.

        Raises:
            FeatureError: if the store lacks one of them; the message names the first few.
        """
        row_of = self._row_of
        rows = np.fromiter(
            (row_of.get(image_id, -1) for image_id in image_ids), np.int64, len(image_ids)
        )
        absent = np.flatnonzero(rows < 0)
        if len(absent):
            reasons = {image.image_id: image.reason for image in self.manifest.skipped}
            first = [image_ids[i] for i in absent[:3]]
            named = ", ".join(
                f"{name} (skipped: {reasons[name]})" if name in reasons else name for name in first
            )
            raise FeatureError(
                f"{self.path}: no features of {len(absent)} of {len(image_ids)} images: {named}"
                f"{', ...' if len(absent) > len(first) else ''}; extract them into a store with "
                "`user-itr features extract`, or leave these images out."
            )
        return rows

    def differences(self, backbone: Backbone) -> tuple[str, ...]:
        """The manifest fields in which `backbone` is another than the one that made this store.

        The name is not compared: a model folder may have moved, and the hash tells its weights.
        """
        recorded, given = self.manifest.identity(), backbone.identity()
        return tuple(key for key in given if key != "backbone" and given[key] != recorded[key])

    def matches(self, backbone: Backbone) -> bool:
        """Whether `backbone` gives the features of this store: weights, preprocessing, K and d."""
        return not self.differences(backbone)

    def verify(self) -> None:
        """Read the whole array and compare its SHA-256 with the manifest's.

        Raises:
            FeatureError: if they differ.
        """
        found = hash_files([self.path / ARRAY_FILE])
        if found != self.manifest.features_sha256:
            raise FeatureError(
                f"{self.path / ARRAY_FILE}: SHA-256 is {found}, but {MANIFEST_FILE} tells of "
                f"{self.manifest.features_sha256}; {_AGAIN}."
            )


_AGAIN = "extract the features again with `user-itr features extract --overwrite`"


def read_manifest(file: Path) -> FeatureManifest:
    """Read and check a store's manifest.

    Raises:
        FeatureError: if it is absent, no JSON, of a newer format, or has wrong or unknown fields.
    """
    try:
        fields = parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (file.parent / PROGRESS_FILE).exists():
            raise FeatureError(
                f"{file.parent}: the extraction into this folder is not finished; run the same "
                "`user-itr features extract` again, it continues where it stopped."
            ) from None
        raise FeatureError(
            f"{file.parent}: no feature store ({file.name} is missing); make one with "
            "`user-itr features extract`."
        ) from None
    except (OSError, ValueError) as error:
        raise FeatureError(f"{file}: not readable as JSON ({error}); {_AGAIN}.") from error
    version = fields.get("format_version") if isinstance(fields, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise FeatureError(
            f"{file}: format version {version} is newer than this program's {FORMAT_VERSION}; "
            "update user-itr."
        )
    try:
        return FeatureManifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "manifest"
        value = repr(first["input"])
        raise FeatureError(
            f"{file}: field {field}: {first['msg']}, got {value[:80]}; {_AGAIN}."
        ) from error


def write_json(file: Path, model: BaseModel) -> None:
    """Write a model as JSON, whole or not at all; one process at a time may write a file."""
    partial = file.with_name(file.name + ".tmp")
    with partial.open("w", encoding="utf-8", newline="\n") as handle:
        json.dump(model.model_dump(mode="json"), handle, indent=1)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(file)
    sync_names(file.parent)
