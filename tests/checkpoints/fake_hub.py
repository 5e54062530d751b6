"""A model hub on this machine: enough of the hub's HTTP interface for its real client, and it can misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class FakeHub:
    """Models by name and revision, and a list of what was asked for. Serves inside a `with` block."""

    models: dict[str, dict[str, Files]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    token: str | None = None  # the only one accepted, where set; without any, models are invisible
    cuts: dict[str, int] = field(default_factory=dict)  # how many downloads of a file break off half-way
    vanished: set[str] = field(default_factory=set)  # files that are listed but not there
    silence: float = 0.0  # seconds that pass before a connection is closed without an answer
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, Authorization

    def add(self, name: str, files: Files, *, revision: str = "main") -> str:
        """Put files under a revision. Returns the commit."""
        self.models.setdefault(name, {})[revision] = files
        return commit_of(files)

    def reset(self) -> None:
        """Back to an empty hub that behaves."""
        fresh = FakeHub()
        for setting in fields(self):
            setattr(self, setting.name, getattr(fresh, setting.name))

    @property
    def endpoint(self) -> str:
        host, port = self.server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def downloads(self) -> list[str]:
        """Names of the files that were sent, in the order of asking."""
        return [path.split("/", 5)[-1] for method, path, _ in self.requests if method == "GET" and "/resolve/" in path]

    def __enter__(self) -> FakeHub:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def commit_of(files: Files) -> str:
    """A commit hash: forty hexadecimal digits that depend on the contents alone."""
    digest = hashlib.sha1()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name] + b"\0")
    return digest.hexdigest()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    return Handler


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each small answer waits 40 ms

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        self.hub.requests.append((self.command, urlsplit(self.path).path, self.headers.get("Authorization")))
        if self.hub.silence:
            time.sleep(self.hub.silence)
            self.close_connection = True
            return
        is_api = parts[:2] == ["api", "models"]
        name, action, rest = self._split(parts[2:] if is_api else parts)
        refusal = self._refusal(name, rest)
        if refusal is not None:
            self._send(*refusal)
        elif is_api:
            self._answer(name, action, self._files(name, rest[0]))
        else:
            self._send_file(self._files(name, rest[0]), "/".join(rest[1:]))

    @staticmethod
    def _split(parts: list[str]) -> tuple[str, str, list[str]]:
        """Model name, what is asked of it, and the rest: revision and file."""
        at = next((i for i, part in enumerate(parts) if part in ("revision", "tree", "resolve")), len(parts))
        action = parts[at] if at < len(parts) else "revision"
        return "/".join(parts[:at]), action, parts[at + 1 :] or ["main"]

    def _files(self, name: str, revision: str) -> Files | None:
        revisions = self.hub.models[name]
        by_commit = {commit_of(files): files for files in revisions.values()}
        return revisions.get(revision, by_commit.get(revision))

    def _refusal(self, name: str, rest: list[str]) -> tuple[int, dict[str, str]] | None:
        sent = self.headers.get("Authorization")
        if sent is not None and self.hub.token is not None and sent != f"Bearer {self.hub.token}":
            return 401, {"X-Error-Message": "Invalid credentials in Authorization header"}
        if name not in self.hub.models or (self.hub.token is not None and sent is None):
            return 401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
        if name in self.hub.gated:
            return 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
        if self._files(name, rest[0]) is None:
            return 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}
        return None

    def _answer(self, name: str, action: str, files: Files | None) -> None:
        assert files is not None
        listed: Any = [
            {"type": "file", "path": path, "size": len(files[path]), "oid": _etag(files[path])} for path in files
        ]
        if action == "revision":
            listed = {"id": name, "sha": commit_of(files), "siblings": [{"rfilename": path} for path in files]}
        self._send(200, {"Content-Type": "application/json"}, json.dumps(listed).encode())

    def _send_file(self, files: Files | None, path: str) -> None:
        assert files is not None
        headers = {"X-Repo-Commit": commit_of(files)}
        if path not in files or path in self.hub.vanished:
            self._send(404, {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
            return
        body = files[path]
        headers["ETag"] = f'"{_etag(body)}"'
        cut = self.command == "GET" and self.hub.cuts.get(path, 0) > 0
        if cut:
            self.hub.cuts[path] -= 1
        self._send(200, headers, body, stop_after=len(body) // 2 if cut else None)

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"", *, stop_after: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:stop_after])
        if stop_after is not None:
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep quiet."""


def _etag(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()
