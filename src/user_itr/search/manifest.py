"""The small JSON file beside an index's photos: which model made it, in which format."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from user_itr.errors import IndexStoreError
from user_itr.files import parse_json
from user_itr.search.location import Place, location_of

FORMAT_VERSION = 3
"""Of what is written; 2 is an index whose photos are in LanceDB tables, also in a folder."""

LANCE_VERSION = 2
MANIFEST = "index.json"
PENDING = "rebuild.json"
"""The manifest of a rebuild that is not complete yet."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index records about itself.

    Attributes:
        fingerprint: of the model that made the embeddings.
        description: of that model, one line for people.
        dim: width D of the embeddings.
        model: checkpoint the model was loaded from, so that a search needs no `--model`.
        generation: number of the tables that hold the photos; each rebuild takes the next one.
        format_version: of this layout; a newer one than `FORMAT_VERSION` is refused.
    """

    fingerprint: str
    description: str
    dim: int
    model: str
    generation: int = 1
    format_version: int = FORMAT_VERSION

    @property
    def table(self) -> str:
        """Name of the LanceDB table."""
        return f"photos-{self.generation}"

    @property
    def sentences(self) -> str:
        """Name of the table of sentences that describe photos."""
        return f"sentences-{self.generation}"

    @property
    def tables(self) -> list[str]:
        """Names of both tables."""
        return [self.table, self.sentences]

    @staticmethod
    def exists(index: Place) -> bool:
        """Whether there is an index at `index`, readable or not."""
        return location_of(index).has(MANIFEST)

    def write(self, index: Place, name: str = MANIFEST) -> None:
        """Write the file `name` at `index`, whole or not at all."""
        content = json.dumps(asdict(self), indent=2) + "\n"
        location_of(index).replace(name, content.encode())

    @classmethod
    def read(cls, index: Place, name: str = MANIFEST) -> Manifest:
        """Read the file `name` at `index`.

        Raises:
            IndexStoreError: if it is damaged or of a newer format.
        """
        location = location_of(index)
        file = f"{location}/{name}"
        remedy = "restore the file, or delete the index folder and index again"
        if name == PENDING:
            remedy = "delete the file and start the rebuild again"
        try:
            content = parse_json(location.read(name).decode())
        except (OSError, ValueError) as error:
            raise IndexStoreError(f"{file}: cannot be read ({error}); {remedy}.") from error
        if not isinstance(content, dict):
            raise IndexStoreError(f"{file}: holds no JSON object; {remedy}.")
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise IndexStoreError(
                f"{file}: the index has format version {version}, and this user-itr reads up to "
                f"{FORMAT_VERSION}; upgrade user-itr, or index into another folder."
            )
        if version == 1:
            raise IndexStoreError(
                f"{file}: the index was made by an earlier user-itr, before photos had dates and "
                "hashes; delete its folder and index again."
            )
        for field in fields(cls):
            kind = int if field.type == "int" else str
            value = content.get(field.name)
            if not isinstance(value, kind) or (
                kind is int and (value is True or not 1 <= int(value) < 2**31)
            ):
                raise IndexStoreError(f"{file}: {field.name} is {value!r}; {remedy}.")
        return cls(**{field.name: content[field.name] for field in fields(cls)})
