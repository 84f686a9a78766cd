"""Google Cloud on loopback: a bucket server, a BigQuery server and a proxy that can misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".emulators-env"
PYTHON = ENVIRONMENT / "bin" / "python"
MISSING = f"no {ENVIRONMENT.name}: ./run_tests.sh makes it"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


@contextlib.contextmanager
def _server(command: list[str], url: str, log: Path, **environ: str) -> Iterator[str]:
    """A server process, from the moment it answers until the body ends."""
    folder = log.parent
    folder.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, env={**os.environ, **environ}
        )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                _get(url)
                break
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended at its start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def gcs_server(folder: Path) -> Iterator[str]:
    """A bucket server that keeps its objects in ``folder/.cloudstorage``."""
    port = free_port()
    command = [str(PYTHON), "-m", "gcp_storage_emulator", "start", "--port", str(port), "-q"]
    url = f"http://127.0.0.1:{port}"
    environ = {"STORAGE_BASE": str(folder)}
    command += ["--host", "127.0.0.1"]
    with _server(command, f"{url}/storage/v1/b?project=p", folder / "gcs.log", **environ):
        yield url


@contextlib.contextmanager
def bigquery_server(folder: Path, buckets: Path) -> Iterator[str]:
    """A BigQuery server that loads from the bucket server's folder."""
    home = folder / "home"  # of its own: test processes side by side unpack the extension into it
    home.mkdir()
    environ = {
        "HOME": str(home),
        "BQEMU_GCS_LOCAL_ROOT": str(buckets),
        "BQEMU_ENABLE_FORMAT_EXTENSIONS": "false",
        "BQEMU_REST_PORT": str(port := free_port()),
        "BQEMU_GRPC_PORT": str(free_port()),
    }
    install = "from duckdb_extensions import import_extension; import_extension('spatial')"
    subprocess.run([str(PYTHON), "-c", install], check=True, env={**os.environ, **environ})
    url = f"http://127.0.0.1:{port}"
    command = [str(PYTHON), "-m", "bqemulator", "start", "--project", "forest"]
    probe = f"{url}/bigquery/v2/projects/forest/datasets"
    with _server(command, probe, folder / "bigquery.log", **environ):
        yield url


@dataclass
class Request:
    """What a client asked for."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Answer:
    """What a proxy answers by itself, or does instead of answering."""

    status: int = 200
    body: bytes = b"{}"
    reset: bool = False
    cut_after: int | None = None
    """Promise the whole body, send so many bytes of it, and close."""
    delay_s: float = 0.0


PassOn = Callable[..., Answer]
"""Asks the server, with another body if one is given."""

Rule = Callable[[Request, PassOn], Answer]
"""Looks at a request and may pass it on."""


@dataclass
class Proxy:
    """A recording proxy before a server."""

    url: str
    requests: list[Request] = field(default_factory=list)
    sent_bytes: int = 0
    rule: Rule = lambda request, pass_on: pass_on()

    def paths(self, method: str, pattern: str) -> list[str]:
        return [r.path for r in self.requests if r.method == method and re.search(pattern, r.path)]


@contextlib.contextmanager
def proxy(target: str | None, rule: Rule | None = None) -> Iterator[Proxy]:
    """Records every request and passes it on, unless a rule decides otherwise."""
    state: Proxy

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms behind its headers

        def log_message(self, *_: object) -> None:
            pass

        def handle_one(self) -> None:
            body = self._body()
            request = Request(self.command, unquote(self.path), dict(self.headers), body)
            state.requests.append(request)
            headers: list[tuple[str, str]] = [("Content-Type", "application/json")]

            def pass_on(body: bytes = body) -> Answer:
                assert target is not None
                connection = HTTPConnection(target.removeprefix("http://"), timeout=120)
                drop = {"transfer-encoding", "content-length", "connection"}
                host = {k: v for k, v in self.headers.items() if k.lower() not in drop}
                if body or self.command in ("POST", "PUT", "PATCH"):
                    host["Content-Length"] = str(len(body))
                connection.request(self.command, self.path, body or None, host)
                response = connection.getresponse()
                content = response.read()
                hop = {"transfer-encoding", "content-length", "connection", "date", "server"}
                headers[:] = [(k, v) for k, v in response.getheaders() if k.lower() not in hop]
                connection.close()
                return Answer(response.status, content)

            answer = state.rule(request, pass_on)
            time.sleep(answer.delay_s)
            if answer.reset:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(answer.status)
            for name, value in headers:
                # Where to go on with an upload: the proxy again, so that it sees the rest.
                self.send_header(name, value.replace(target or "\0", state.url))
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            content = answer.body[: answer.cut_after]
            state.sent_bytes += len(content)
            if self.command != "HEAD":
                self.wfile.write(content)
            if answer.cut_after is not None:
                self.close_connection = True

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_one

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a connection that a rule has broken on purpose

    server = Server(("127.0.0.1", 0), Handler)
    state = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    if rule:
        state.rule = rule
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
