"""The report as a site on loopback, made anew when a record arrives, with the runs that go on.

Pages are answered from memory by exact path, so that no request reaches the file system: compressed
for who takes that, and not again to who has them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn, Unpack
from urllib.parse import unquote

from regmix_bench.errors import UserError, reason
from regmix_bench.records.paths import PUBLISHED
from regmix_bench.records.studies import reported_files
from regmix_bench.records.watcher import RunWatcher
from regmix_bench.reporting.site.live import SCRIPT, STYLE, live_files, under_way

if TYPE_CHECKING:
    from regmix_bench.reporting.choices import Choices

ADDRESS = "127.0.0.1"
SECONDS = 1.0

# Scripts of the site alone; charts and tables set styles of their own.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, and asked for anew each time by its tag
    "Vary": "Accept-Encoding",
}
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".tex": "application/x-tex",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".pdf": "application/pdf",
    ".woff2": "font/woff2",
}
#: Compressed by their own formats.
_DENSE = {".png", ".pdf", ".woff2"}
_STATE_PATH = "_state.json"


@dataclass(frozen=True)
class Answer:
    """An answer to a path: ``kind`` is the ending of its name."""

    kind: str
    content: bytes

    @cached_property
    def packed(self) -> bytes | None:
        """Compress the content by gzip, unless it is so already."""
        return None if self.kind in _DENSE else gzip.compress(self.content, 6, mtime=0)

    @cached_property
    def tag(self) -> str:
        """Return the entity tag; it is a weak one, as compressed content has it too."""
        return f'W/"{hashlib.sha256(self.content).hexdigest()[:20]}"'


_LIVE = {name: Answer(PurePosixPath(name).suffix, data) for name, data in live_files().items()}


@dataclass(frozen=True)
class State:
    """A site by path, the digest that tells it from others, and why there is no newer one.

    ``drawn`` are files that are made when they are asked for.
    """

    files: Mapping[str, bytes]
    version: str
    trouble: str = ""
    drawn: Mapping[str, bytes] = field(default_factory=dict, compare=False)
    _answers: dict[str, Answer] = field(default_factory=dict, compare=False)

    def answer(self, name: str) -> Answer:
        """Return what is sent for a path; raises :class:`KeyError` where there is none."""
        if name not in self._answers:
            kind = PurePosixPath(name).suffix
            content = self.files[name] if name in self.files else self.drawn[name]
            if kind == ".html":
                style = f'<link rel="stylesheet" href="/{STYLE}">'
                script = f'<script src="/{SCRIPT}?v={self.version}" defer></script></head>'
                content = content.replace(b"</head>", f"{style}{script}".encode(), 1)
            self._answers[name] = Answer(kind, content)
        return self._answers[name]


class Site:
    """The site of the records below ``results``; raises :class:`UserError` as a report."""

    def __init__(self, results: Path, **choices: Unpack[Choices]) -> None:
        self._results, self._choices = results, choices
        self._seen: frozenset[tuple[Path, int, int]] | None = self._look()
        self.state = self._built()
        self._watcher = RunWatcher(results)
        self.watch()

    def watch(self) -> None:
        """Look at what goes on; ``runs`` are then as :func:`under_way` tells them."""
        self.runs = under_way(self._watcher.look())

    def refresh(self) -> bool:
        """Build anew where a file came, went or changed; returns whether there was one.

        What cannot be read, such as a record half copied or a folder that is gone, leaves the last
        good site standing.
        """
        seen = None
        try:
            seen = self._look()
            if seen == self._seen:
                return False
            self.state = self._built()
        except (UserError, OSError) as error:
            text = str(error) if isinstance(error, UserError) else reason(error)
            self.state = replace(self.state, trouble=" ".join(text.split()))
        self._seen = seen
        return True

    def _look(self) -> frozenset[tuple[Path, int, int]]:
        if not self._results.is_dir():
            raise UserError(f"no folder {self._results}: `regmix-bench run` makes it")
        found = set()
        for path in (*reported_files(self._results), self._results / PUBLISHED):
            with suppress(FileNotFoundError):  # gone meanwhile, or no published numbers
                status = path.stat()
                found.add((path, status.st_mtime_ns, status.st_size))
        return frozenset(found)

    def _built(self) -> State:
        from regmix_bench.reporting import site
        from regmix_bench.reporting.contents import Contents
        from regmix_bench.reporting.site.pictures import PictureFiles, SitePictures

        drawn: Mapping[str, bytes] = {}
        if reported_files(self._results):
            contents = Contents.of(self._results, **self._choices)
            pictures = SitePictures.of(contents)
            files = dict(site.undrawn_files(contents, pictures))
            drawn = PictureFiles(pictures, contents.style)
        else:
            files = dict(site.empty_site())
        digest = hashlib.sha256()
        for name, content in sorted(files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return State(files, digest.hexdigest()[:16], drawn=drawn)


class Server(ThreadingHTTPServer):
    """Answers on loopback alone; port 0 takes any that is free.

    Raises :class:`UserError` where the port cannot be had.
    """

    daemon_threads = True
    request_queue_size = 128  # a browser asks for many files at once, and so may several
    site: Site

    def __init__(self, port: int) -> None:
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or "there are those from 0 to 65535"
            raise UserError(f"cannot serve on port {port}: {why}; --port takes another") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers that go away in the middle; any other error is a bug."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "regmix-bench", ""
    protocol_version = "HTTP/1.1"  # a page and what it loads take one connection
    timeout = 30  # of a connection that says nothing

    def do_GET(self) -> None:
        # Another name for this address is a page elsewhere that reads ours (DNS rebinding).
        hosts = {f"{name}:{self.server.server_port}" for name in ("localhost", ADDRESS)}
        if self.headers.get("Host", "").lower() not in hosts:
            self.send_error(HTTPStatus.FORBIDDEN, "Unknown host")
            return
        state = self.server.site.state
        name = unquote(self.path.partition("?")[0].partition("#")[0]).removeprefix("/")
        if name == "" or name.endswith("/"):
            name += "index.html"
        if name == _STATE_PATH:
            told = {"version": state.version, "trouble": state.trouble, **self.server.site.runs}
            self._answer(Answer(".json", json.dumps(told).encode()))
        elif name in _LIVE:
            self._answer(_LIVE[name])
        elif name in state.files or name in state.drawn:
            self._answer(state.answer(name))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _answer(self, answer: Answer) -> None:
        known = {tag.strip() for tag in self.headers.get("If-None-Match", "").split(",")}
        if answer.tag in known:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", answer.tag)
            self.end_headers()
            return
        takes = self.headers.get("Accept-Encoding", "").replace(" ", "").split(",")
        packed = answer.packed if "gzip" in takes else None
        content = answer.content if packed is None else packed
        self.send_response(HTTPStatus.OK)
        self.send_header("ETag", answer.tag)
        self.send_header("Content-Type", _KINDS.get(answer.kind, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        if packed is not None:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.command == "GET":
            with suppress(ConnectionError):  # the reader has gone on
                self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal is for what changes."""


def _watch(site: Site) -> NoReturn:
    """Watch what goes on, also while a site is being built."""
    while True:
        time.sleep(SECONDS)
        site.watch()


def serve_site(
    results: Path, port: int, say: Callable[[str], None], **choices: Unpack[Choices]
) -> NoReturn:
    """Serve the site of ``results`` until interrupted; ``say`` gets a line for each change.

    Raises :class:`UserError` for a folder or a record that cannot be read at the start, an unknown
    reference, or a port that cannot be had.
    """
    with Server(port) as server:
        site = server.site = Site(results, **choices)
        for work in (server.serve_forever, partial(_watch, site)):
            threading.Thread(target=work, daemon=True).start()
        try:
            say(f"{results} at {server.url} (Ctrl-C ends)")
            while True:
                time.sleep(SECONDS)
                before = site.state
                if site.refresh() and site.state != before:
                    say(site.state.trouble or "made anew")
        finally:
            server.shutdown()
