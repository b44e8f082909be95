"""A hub on this machine: what its library asks for, with the faults that networks have."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = 200
"""From this size on a file has a SHA-256, as in Git LFS."""


@dataclass
class Hub:
    """What the server holds, and what it was asked.

    Args:
        port: that it listens at.
        repositories: files by path, by commit, by OWNER/NAME.
        refs: commits by revision, by OWNER/NAME.
        cut: bytes of a path after which the connection breaks, once each.
        changed: contents that come in place of those that were announced.
        status: of every answer, with the hub's error code; for the API and for files.
        whole: ranges are not heeded.
        asked: each request: its host, path, and headers.
    """

    port: int
    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    refs: dict[str, dict[str, str]] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    changed: dict[str, bytes] = field(default_factory=dict)
    status: tuple[int, str] | None = None
    whole: bool = False
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(
        self, repository: str, files: dict[str, bytes], commit: str = "1" * 40, ref: str = "main"
    ) -> None:
        self.repositories.setdefault(repository, {})[commit] = files
        self.refs.setdefault(repository, {})[ref] = commit

    def files_asked(self) -> list[str]:
        """Paths of files, in the order in which they were asked for."""
        found = [path.split("/", 5) for _, path, _ in self.asked]
        return [parts[5] for parts in found if parts[3:4] == ["resolve"]]


def listing(path: str, content: bytes) -> dict[str, object]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    found: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": blob}
    if len(content) >= LARGE:
        digest = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)  # a proxy is asked for a whole address
        headers = {name.title(): value for name, value in self.headers.items()}
        hub.asked.append((headers["Host"], path, headers))
        if hub.status is not None:
            return self._fail(*hub.status)
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._list("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        if parts[0] == "cdn" or parts[2:3] == ["resolve"]:
            owner, name, _, commit, *rest = parts[1:] if parts[0] == "cdn" else parts
            content = hub.repositories[f"{owner}/{name}"][commit].get("/".join(rest))
            if content is None:
                return self._fail(404, "EntryNotFound")
            if parts[0] != "cdn" and len(content) >= LARGE:
                return self._answer(302, b"", Location=f"http://localhost:{hub.port}/cdn{path}")
            return self._send("/".join(rest), content)
        return self._fail(404, "")

    def _list(self, repository: str, revision: str) -> None:
        hub = self.server.hub
        commits = hub.repositories.get(repository)
        if commits is None:
            return self._fail(401, "RepoNotFound")
        commit = hub.refs[repository].get(revision, revision)
        if commit not in commits:
            return self._fail(404, "RevisionNotFound")
        siblings = [listing(path, content) for path, content in commits[commit].items()]
        answer = {"id": repository, "sha": commit, "siblings": siblings}
        return self._answer(200, json.dumps(answer).encode())

    def _send(self, path: str, content: bytes) -> None:
        hub = self.server.hub
        content = hub.changed.get(path, content)
        start, code = 0, 200
        if "Range" in self.headers and not hub.whole:
            start, code = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")), 206
        part = content[start:]
        if hub.cut.get(path):
            self.send_response(code)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part[: hub.cut[path].pop(0)])
            self.close_connection = True
            return
        self._answer(code, part)

    def _fail(self, code: int, error: str) -> None:
        self._answer(code, b'{"error":"no"}', **{"X-Error-Code": error} if error else {})

    def _answer(self, code: int, content: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    hub: Hub


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub at a free port, until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = Hub(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
