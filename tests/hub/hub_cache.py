"""The hub's cache on this machine, filled as its own library fills it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from user_itr.hub.cache import repository_folder


def put_in_cache(
    folder: Path, repository: str, commit: str = "1" * 40, ref: str | None = "main"
) -> Path:
    """A snapshot of `folder` as a model of the hub: links to contents by their hashes."""
    home = repository_folder(repository)
    snapshot = home / "snapshots" / commit
    (home / "blobs").mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        content = file.read_bytes()
        blob = home / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * len(link.relative_to(home).parent.parts)
        link.symlink_to(f"{up}blobs/{blob.name}")
    if ref is not None:
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / ref).write_text(commit)
    return snapshot
