"""The pages over HTTP, for browsers of this machine alone.

Nothing is written but the table of answers. A page of another site that a browser has open can ask
nothing: requests must name this server as their host, and answers come from its own pages.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import get_args
from urllib.parse import parse_qs, urlsplit

from model.audio.decoders import AudioError
from pipeline.serving.pages import NotThere, Pages, Reply
from pipeline.survey.labels import Answer

HOST = "127.0.0.1"
_MOST_FORM_BYTES = 4096


def server_of(pages: Pages, port: int = 0) -> ThreadingHTTPServer:
    """A server of pages, not yet serving; port 0 takes one that is free.

    Raises:
        OSError: the port is taken.
    """

    class Handler(_Handler):
        shown = pages

    return ThreadingHTTPServer((HOST, port), Handler)


class _Handler(BaseHTTPRequestHandler):
    shown: Pages
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self._is_for_us():
            return
        address = urlsplit(self.path)
        try:
            content = self.shown.get(address.path, _first_values(address.query))
        except NotThere:
            self._say(HTTPStatus.NOT_FOUND, "no such page")
        except (AudioError, OSError) as error:
            self._say(HTTPStatus.NOT_FOUND, str(error))
        else:
            self._send(HTTPStatus.OK, content)

    def do_POST(self) -> None:
        if not self._is_for_us():
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MOST_FORM_BYTES:
            self._say(HTTPStatus.BAD_REQUEST, "no form of these pages")
            return
        form = _first_values(self.rfile.read(int(length)).decode(errors="replace"))
        number, answer, back = (form.get(name, "") for name in ("call", "answer", "back"))
        is_known = number.isdigit() and int(number) < len(self.shown.calls)
        is_ours = back.startswith("/") and not back.startswith("//")
        if not (is_known and is_ours and answer in (*get_args(Answer), "none")):
            self._say(HTTPStatus.BAD_REQUEST, "no form of these pages")
            return
        call = self.shown.calls[int(number)]
        try:
            given = None if answer == "none" else answer
            self.shown.answers.give(call, self.shown.site_of(call), given)  # type: ignore[arg-type]
        except OSError as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, f"the answer was not kept: {error}")
            return
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", f"{back}#call-{number}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _is_for_us(self) -> bool:
        """Whether the request was meant for this server; else it is refused."""
        _, port, *_ = self.connection.getsockname()
        ours = {f"{host}:{port}" for host in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in ours and (
            origin is None or origin.removeprefix("http://") in ours
        ):
            return True
        self.close_connection = True
        self._say(HTTPStatus.FORBIDDEN, "these pages are for this machine alone")
        return False

    def _say(self, status: HTTPStatus, why: str) -> None:
        self._send(status, Reply("text/plain; charset=utf-8", f"{why}\n".encode()))

    def _send(self, status: HTTPStatus, content: Reply) -> None:
        body, n_bytes = content.body, len(content.body)
        # Players ask for ranges, and cannot jump without.
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        if asked and status == HTTPStatus.OK and first < n_bytes:
            last = min(int(asked[2] or n_bytes), n_bytes - 1)
            status, body = HTTPStatus.PARTIAL_CONTENT, body[first : last + 1]
        self.send_response(status)
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{n_bytes}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", content.kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if content.kind.startswith(("image", "audio")):
            self.send_header("Cache-Control", "max-age=3600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing of each request."""


def _first_values(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
