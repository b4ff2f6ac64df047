"""A stand-in for the Hugging Face hub: as much of its HTTP as its client needs, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: The token that may write to repositories of ORG, and one that may not.
TOKEN, READ_ONLY = "hf_writer", "hf_reader"
COMMIT = "c" * 40


@dataclass
class Hub:
    """The repositories by name, each its files by name; and the methods and paths asked for."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    #: What is said of a file's size, where that is not its length.
    sizes: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def local_hub() -> Iterator[Hub]:
    """Yield a hub that answers at its ``address`` while the block runs."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._read()

    def do_GET(self) -> None:
        self._read()

    def do_PUT(self) -> None:
        self.state.blobs[self.path.rpartition("/")[2]] = self._body()
        self._answer(200)

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        if self._token() != TOKEN:
            known = self._token() == READ_ONLY
            said = "Forbidden" if known else "Invalid credentials in Authorization header"
            self._answer(403 if known else 401, {"error": said}, {"X-Error-Message": said})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.state.repositories.setdefault(name, {})
            self._answer(200, {"url": f"{self.state.address}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self._answer(200, {"warnings": [], "errors": []})
        elif path.endswith("/objects/batch"):
            objects = [
                asked
                | {"actions": {"upload": {"href": f"{self.state.address}/blob/{asked['oid']}"}}}
                for asked in json.loads(body)["objects"]
            ]
            self._answer(200, {"transfer": "basic", "objects": objects})
        elif "/preupload/" in path:
            files = [
                {
                    "path": asked["path"],
                    "uploadMode": "lfs" if asked["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for asked in json.loads(body)["files"]
            ]
            self._answer(200, {"files": files})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self._commit(self.state.repositories[match[1]], body)
            url = f"{self.state.address}/{match[1]}/commit/{COMMIT}"
            self._answer(200, {"commitUrl": url, "commitOid": COMMIT})
        else:
            self._answer(404, {})

    def _commit(self, files: dict[str, bytes], body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.state.blobs[value["oid"]]

    def _read(self) -> None:
        if match := re.fullmatch(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^?]+))?.*", self.path):
            name, revision = match.groups()
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            name, revision = match[1], match[2]
        else:
            return self._answer(404, {})
        files = self.state.repositories.get(name)
        if self._token() not in (None, TOKEN, READ_ONLY):
            said = "Invalid credentials in Authorization header"
            return self._answer(401, {}, {"X-Error-Message": said})
        if files is None:
            return self._answer(401, {}, {"X-Error-Code": "RepoNotFound"})
        if revision not in (None, "main", COMMIT):
            return self._answer(404, {}, {"X-Error-Code": "RevisionNotFound"})
        if self.path.startswith("/api/"):
            sizes = {file: len(content) for file, content in files.items()} | self.state.sizes
            siblings = [{"rfilename": file, "size": sizes[file]} for file in files]
            about = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}
            return self._answer(200, about)
        content = files[match[3]]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        return self._answer(200, content, headers)

    def _token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(
        self, status: int, content: object = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.state.asked.append(f"{self.command} {self.path}")
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
