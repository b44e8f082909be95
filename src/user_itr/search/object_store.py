"""An index in a bucket of an object store that speaks S3's protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from user_itr.errors import IndexStoreError, MissingExtraError
from user_itr.search.lease import Lease
from user_itr.search.location import LOCK, S3, Location, store_errors

if TYPE_CHECKING:
    from obstore.store import S3Store

CONNECT_SECONDS = 3
REQUEST_SECONDS = 30
RETRIES = 2
RETRY_SECONDS = 10
"""Bounds on what one request may take: a store that is down is told of in seconds."""

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

REASONS = {
    "NoSuchBucket": "there is no such bucket; create it, or check the name",
    "InvalidAccessKeyId": "the store does not know this AWS_ACCESS_KEY_ID; check it",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID; check both",
    "ExpiredToken": "the AWS_SESSION_TOKEN has expired; get a new one",
    "AccessDenied": "these credentials may not do that; give them access to the bucket",
    "Forbidden": "these credentials may not do that; give them access to the bucket",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
}
"""S3's error codes that a person can do something about."""


class ObjectStore(Location):
    """A prefix of a bucket.

    Credentials, region and endpoint come from the standard variables (AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL), or from the role of the
    machine, and are kept nowhere. An endpoint of plain http is taken as it is given.

    Args:
        uri: `s3://BUCKET/PREFIX`.

    Raises:
        IndexStoreError: if it names no bucket.
        MissingExtraError: if obstore is not installed.
    """

    shared = True
    remedy = "check the bucket, the network and the AWS_* variables"
    folder = None

    def __init__(self, uri: str) -> None:
        bucket, _, prefix = uri.removeprefix(S3).partition("/")
        prefix = prefix.strip("/")
        if not bucket or "//" in prefix or {".", ".."} & set(prefix.split("/")):
            raise IndexStoreError(f"{uri}: is no bucket and prefix; give {S3}BUCKET/PREFIX.")
        self.uri = S3 + "/".join(part for part in (bucket, prefix) if part)
        self.endpoint = next((os.environ[x] for x in ENDPOINTS if os.environ.get(x)), None)
        plain = self.endpoint is not None and self.endpoint.startswith("http://")
        self.storage_options: dict[str, str] = {
            "connect_timeout": f"{CONNECT_SECONDS}s",
            "timeout": f"{REQUEST_SECONDS}s",
            "client_max_retries": str(RETRIES),
            "client_retry_timeout": str(RETRY_SECONDS),
        }
        region = next((os.environ[x] for x in REGIONS if os.environ.get(x)), None)
        if region is not None:  # LanceDB does not look there for buckets with a dot
            self.storage_options["region"] = region
        if self.endpoint is not None:
            self.storage_options |= {"endpoint": self.endpoint, "allow_http": str(plain).lower()}
        self._store = self._client(bucket, prefix, plain)
        self._lease: Lease | None = None

    def _client(self, bucket: str, prefix: str, plain: bool) -> S3Store:
        try:
            from obstore.store import S3Store
        except ImportError:
            raise MissingExtraError(
                "an index on object storage needs one more package; run `pip install user-itr[s3]`."
            ) from None
        endpoint: Any = {} if self.endpoint is None else {"endpoint": self.endpoint}
        with self._errors("opened"):
            return S3Store(
                bucket,
                prefix=prefix or None,
                **endpoint,
                client_options={
                    "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                    "timeout": timedelta(seconds=REQUEST_SECONDS),
                    "allow_http": plain,
                },
                retry_config={
                    "max_retries": RETRIES,
                    "retry_timeout": timedelta(seconds=RETRY_SECONDS),
                },
            )

    def has(self, name: str) -> bool:
        """See `Location`."""
        try:
            self.read(name)  # not HEAD, which cannot tell that the bucket is missing
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> bytes:
        """See `Location`."""
        return self.read_tagged(name)[0]

    def read_tagged(self, name: str) -> tuple[bytes, str]:
        """The content of an object, and the tag that changes with it."""
        with self._errors("read"):
            found = self._store.get(name)
            return bytes(found.bytes()), str(found.meta["e_tag"])

    def replace(self, name: str, content: bytes) -> None:
        """See `Location`."""
        self.require_lock()
        with self._errors("written"):
            self._store.put(name, content)

    def create(self, name: str, content: bytes) -> str | None:
        """Write an object that is not there yet; its tag, or None where there is one."""
        from obstore.exceptions import AlreadyExistsError

        with self._errors("written"):
            try:
                return str(self._store.put(name, content, mode="create")["e_tag"])
            except AlreadyExistsError:
                return None

    def exchange(self, name: str, content: bytes, tag: str) -> str | None:
        """Replace an object that still has this tag; its new tag, or None where it changed."""
        from obstore.exceptions import PreconditionError

        with self._errors("written"):
            try:
                return str(self._store.put(name, content, mode={"e_tag": tag})["e_tag"])
            except PreconditionError:
                return None

    def remove(self, name: str) -> None:
        """See `Location`."""
        self.require_lock()
        with self._errors("written"):
            self._store.delete(name)

    def entries(self) -> list[str]:
        """See `Location`."""
        with self._errors("read"):
            listed = self._store.list_with_delimiter()
        names = [*listed["common_prefixes"], *(found["path"] for found in listed["objects"])]
        return [name.rstrip("/").rpartition("/")[2] for name in names]

    def remove_folder(self, name: str) -> None:
        """See `Location`."""
        self.require_lock()
        with self._errors("written"):
            for chunk in self._store.list(f"{name}/"):
                self._store.delete([found["path"] for found in chunk])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See `Location`; the lock of a process that died is free once its lease has run out."""
        lease = Lease(self, LOCK)
        try:
            with store_errors(self, "written"):
                lease.acquire()
            self._lease = lease
            yield
        finally:
            if self._lease is lease:
                self._lease = None
            lease.release()

    def require_lock(self) -> None:
        """See `Location`."""
        if self._lease is not None:
            self._lease.require()

    def reason(self, error: Exception) -> str:
        """See `Location`; an answer's text is left out, since stores quote keys in it."""
        text = str(error)
        code = re.search(r"<Code>(\w+)</Code>", text)
        if code is not None:
            return REASONS.get(code[1], f"the store answered {code[1]}")
        if "/latest/api/token" in text or "credentials" in text:  # of the machine's role
            return "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        if "error sending request" in text or "Connect" in text:
            return f"no answer from {self.endpoint or 'the store'}"
        status = re.search(r"status:? (?:code: )?(\d{3})", text)
        if status is not None:
            return f"the store answered with status {status[1]}"
        return re.split(r"[{<\n]", text)[0].strip()[:120] or type(error).__name__

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        """Turn what the client raises into an IndexStoreError, but for a missing object."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                raise FileNotFoundError("there is no such object") from None
            raise IndexStoreError(
                f"{self}: the index cannot be {verb} ({self.reason(error)}); {self.remedy}."
            ) from None
