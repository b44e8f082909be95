"""What was fetched: `models.json` in the user's data folder.

It records which commit `user-itr models get` fetched, with the hashes of its files. That commit is
what the bare name means from then on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from user_itr.errors import CheckpointError
from user_itr.files import parse_json, replace_file


class FileRecord(BaseModel):
    """A file of a model as it was fetched.

    Args:
        size: in bytes.
        hash: SHA-256, 64 hex digits; or Git's SHA-1 of small files, 40.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    hash: str


class Record(BaseModel):
    """A model as it was fetched.

    Args:
        commit: of the hub's repository, 40 hex digits.
        files: by their paths in the repository.
        choices: for which `HubName.file` they are whole; "" where none was named.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    files: dict[str, FileRecord]
    choices: tuple[str, ...] = ("",)


def records_file() -> Path:
    """The file that says which commits were fetched."""
    return platformdirs.user_data_path("user-itr", appauthor=False) / "models.json"


def read_records() -> dict[str, Record]:
    """What was fetched, by OWNER/NAME.

    Raises:
        CheckpointError: if the file is damaged.
    """
    file = records_file()
    try:
        values = parse_json(file.read_bytes())
        if not isinstance(values, dict):
            raise ValueError("no JSON object")
        return {name: Record.model_validate(value) for name, value in values.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}).") from None
    except (ValueError, ValidationError):
        raise CheckpointError(
            f"{file}: is damaged; delete it and fetch the models again (`user-itr models get`)."
        ) from None


def write_records(records: Mapping[str, Record]) -> None:
    """Write what was fetched, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    file = records_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {name: records[name].model_dump() for name in sorted(records)}
    replace_file(file, (json.dumps(values, indent=1) + "\n").encode())
