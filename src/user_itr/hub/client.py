"""The hub's own library, the one place where it is imported: without telemetry, and in a hurry.

Its client takes the proxies, certificates and token of the environment: HTTPS_PROXY, NO_PROXY,
SSL_CERT_FILE, HF_TOKEN, and HF_ENDPOINT for another hub. It would tell which packages are
installed, and ask the hub which program calls it, unless a variable says otherwise before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import huggingface_hub
from huggingface_hub import constants, errors, utils

from user_itr.errors import DownloadError
from user_itr.hub.cache import HubName

constants.HF_HUB_DISABLE_TELEMETRY = True  # where transformers imported it before

_utils: Any = utils

PATIENCE = 10.0
"""Seconds to wait for a connection, or for the next bytes."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a model on the hub.

    Args:
        path: in the repository, with slashes.
        size: in bytes.
        hash: SHA-256 of a large file, 64 hex digits; Git's SHA-1 of a small one, 40.
    """

    path: str
    size: int
    hash: str


class BrokenConnectionError(DownloadError):
    """The connection ended before the file did."""


@contextmanager
def offline() -> Iterator[None]:
    """Other libraries find on the hub what is in its cache, and ask for nothing else."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def cached_file(repository: str, name: str) -> Path | None:
    """A file of a model in the hub's cache; None if it is not there."""
    found = huggingface_hub.try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None


def is_on_hub(repository: str) -> bool:
    """Whether the hub has a model of this name that is open to this person.

    Raises:
        DownloadError: at once, if the hub cannot be asked.
    """
    try:
        _api().model_info(repository, timeout=PATIENCE)
    except (errors.HFValidationError, errors.RepositoryNotFoundError):
        return False
    except Exception as error:
        raise _unreachable(repository, error) from None
    return True


def _api() -> huggingface_hub.HfApi:
    return huggingface_hub.HfApi(
        endpoint=_endpoint(), library_name="user-itr", library_version=version("user-itr")
    )


def list_model(name: HubName, revision: str) -> tuple[str, list[RemoteFile]]:
    """The commit that a revision stands for, and its files.

    Raises:
        DownloadError: at once, if the hub cannot be reached or has no such model for this person.
    """
    with _said(name, revision):
        info = _api().model_info(
            name.repository, revision=revision, files_metadata=True, timeout=PATIENCE
        )
        files = [
            RemoteFile(
                one.rfilename,
                int(one.size or 0),
                str(one.lfs.sha256 if one.lfs else one.blob_id),
            )
            for one in info.siblings or ()
        ]
        return str(info.sha), files


def read_file(name: HubName, commit: str, path: str, start: int) -> Iterator[bytes]:
    """The bytes of a file from `start` on; an empty block, and all of them, if the hub insists.

    Raises:
        BrokenConnectionError: if the connection ends too early.
        DownloadError: if the file cannot be had.
    """
    url = huggingface_hub.hf_hub_url(name.repository, path, revision=commit, endpoint=_endpoint())
    headers = _utils.build_hf_headers(library_name="user-itr", library_version=version("user-itr"))
    headers["Accept-Encoding"] = "identity"  # a part of a compressed file is not a part of the file
    if start:
        headers["Range"] = f"bytes={start}-"
    with (
        _said(name, commit),
        _utils.get_session().stream("GET", url, headers=headers, timeout=PATIENCE) as answer,
    ):
        _utils.hf_raise_for_status(answer)
        if start and answer.status_code != 206:
            yield b""
        yield from answer.iter_bytes()


def _endpoint() -> str | None:
    return (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None


@contextmanager
def _said(name: HubName, revision: str) -> Iterator[None]:
    """The client's errors, each as one sentence."""
    hub = _endpoint() or constants.ENDPOINT
    try:
        yield
    except errors.GatedRepoError:
        raise DownloadError(
            f"{name.repository}: its owner asks you to accept terms first; do so at "
            f"{hub}/{name.repository}, and log in with `hf auth login` or HF_TOKEN."
        ) from None
    except errors.RevisionNotFoundError:
        raise DownloadError(
            f"{name.repository}: has no revision {revision} on {hub}; give "
            f"{name.repository}@main for the newest."
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise DownloadError(
            f"{name.repository}: there is no such model on {hub}, or it is not open to you; check "
            "the name, or log in with `hf auth login` or HF_TOKEN."
        ) from None
    except errors.OfflineModeIsEnabled:
        raise DownloadError(
            f"{name.repository}: HF_HUB_OFFLINE forbids to fetch anything; unset it."
        ) from None
    except errors.HfHubHTTPError as error:
        raise DownloadError(
            f"{name.repository}: {hub} answers with status {error.response.status_code}; try again "
            "later."
        ) from None
    except Exception as error:  # of the HTTP client, which is not the same in all releases
        raise _unreachable(name.repository, error) from None


def _unreachable(repository: str, error: Exception) -> BrokenConnectionError:
    reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
    return BrokenConnectionError(
        f"{repository}: {_endpoint() or constants.ENDPOINT} cannot be reached ({reason}); check "
        "the network, the proxy (HTTPS_PROXY) and HF_ENDPOINT."
    )
