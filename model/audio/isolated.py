"""Recordings decoded in a process apart, so that a file can harm that process alone.

Decoders are C code that reads what others wrote. A crash, a gigabyte asked for or an endless loop
ends a child process here, and then fails one recording. The child may write no file, asks for a
limited amount of memory, is given no environment variable that could hold a credential, and no
network where the system allows that. What decoders print goes nowhere.

The samples are those that ``model.audio`` gives, bit for bit: the child runs the same code.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from model.audio import system
from model.audio.channels import MIX
from model.audio.decoders import AudioError, AudioInfo, DecoderMissingError
from model.audio.mp3 import Mp3Way
from model.audio.quality import Quality
from model.audio.recording import Recording, Segment
from model.audio.seekable import SeekableFile

MEMORY_BYTES = 1 << 30
"""What a decoder may allocate. A block of 64 channels at 48 kHz takes a third of it."""
PATIENCE_S = 600
"""A decoder that finishes no block of 10 s of audio for so long is ended."""
ATTEMPTS = 2
_CODE = (
    "import sys; sys.path[:] = {path!r}; from model.audio.isolated import serve; serve({channel})"
)
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "SYSTEMROOT", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS")
_SIGN_OF_LIFE = {"is_at": "a block"}
_LENGTH = struct.Struct("<I")
_LONGEST_MESSAGE_BYTES = 1 << 24
_SOCKET_BUFFER_BYTES = 1 << 20
_READ_AHEAD_BYTES = 1 << 16


class _DecoderEnded(Exception):
    """The child process is no more; says why."""


class IsolatedRecording:
    """A ``Recording`` that a child process decodes. Use it in a ``with`` statement.

    Args:
        source: a path, or a binary file object that can seek: this process reads it for the child.
        name: what to call the recording in messages.
        look, way, channel: see ``Recording``.

    Attributes:
        restarts: how often the process that decodes had to be started again.

    Raises:
        AudioError: like ``Recording``, and where the decoder has crashed twice, asks for too much
            memory or makes no progress.
        OSError: the source cannot be read at the moment.
    """

    def __init__(
        self,
        source: str | IO[bytes],
        name: str,
        look: AudioInfo | None = None,
        way: Mp3Way | None = None,
        channel: str = MIX,
    ) -> None:
        self.name = name
        self.restarts = 0
        self._source = source
        if isinstance(source, str):
            path, size = os.path.abspath(source), 0  # the child may stand in another folder
        else:
            path, size = "", source.seek(0, io.SEEK_END)
        self._opening = {"do": "open", "path": path, "size": size, "name": name, "channel": channel}
        self._opening["is_at_hand"] = getattr(source, "is_at_hand", True)
        self._opening["look"] = look and asdict(look)
        self._opening["way"] = way and asdict(way)
        self._child: _Child | None = None
        try:
            self.info = AudioInfo(**self._ask(self._opening))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> IsolatedRecording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, start: int, n_samples: int, measured: range = range(0)) -> Segment:
        """Like ``Recording.read``."""
        samples = np.empty(n_samples, dtype=np.float32)
        part = (measured.start, measured.stop)
        request = {"do": "read", "start": start, "n_samples": n_samples, "measured": part}
        answer = self._ask(request, samples)
        missing = tuple((int(gap), int(end)) for gap, end in answer["missing"])
        return Segment(samples, missing, Quality(**answer["quality"]))

    def way(self) -> Mp3Way | None:
        """Like ``Recording.way``."""
        way = self._ask({"do": "way"})["way"]
        return Mp3Way.of(way) if way else None

    def close(self) -> None:
        """Lets others use the process."""
        if self._child:
            self._child.rest()
            self._child = None

    def _ask(self, request: dict[str, Any], into: Any = None) -> dict[str, Any]:
        """An answer of the child; of another one where the first does not live to give it."""
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                if self._child is None:
                    self._child = _take()
                    answer = self._child.ask(self._opening, self._source)
                    if request is self._opening:
                        return answer
                return self._child.ask(request, self._source, into)
            except _DecoderEnded as error:
                self._child, reason = None, str(error)
                self.restarts += 1
        raise AudioError(f"{self.name}: {reason}; copy it again from its source")


class _Wire:
    """Messages as JSON, each behind its length. Nothing that arrives is run or unpickled."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)

    def send(self, message: dict[str, Any], *contents: Any) -> None:
        text = json.dumps(message).encode()
        self._socket.sendall(_LENGTH.pack(len(text)) + text)
        for content in contents:
            self._socket.sendall(content)

    def receive(self) -> dict[str, Any]:
        """The next message. Raises EOFError when the other side is gone."""
        head = bytearray(_LENGTH.size)
        self.receive_into(head)
        [length] = _LENGTH.unpack(head)
        if length > _LONGEST_MESSAGE_BYTES:
            raise EOFError
        text = bytearray(length)
        self.receive_into(text)
        message: dict[str, Any] = json.loads(text)
        return message

    def receive_into(self, buffer: Any) -> None:
        view = memoryview(buffer)
        if view.nbytes:
            view = view.cast("B")
        while view.nbytes:
            n = self._socket.recv_into(view)
            if not n:
                raise EOFError
            view = view[n:]

    def close(self) -> None:
        self._socket.close()


# This process's side.


class _Child:
    """A process that decodes one recording after another."""

    def __init__(self) -> None:
        self._is_busy = False
        path = [str(Path(__file__).resolve().parents[2]), *sys.path]
        self._process, ours = system.start_child(
            lambda channel: _CODE.format(path=path, channel=channel),
            {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        )
        if system.PLAIN:
            ours.settimeout(PATIENCE_S)
        self._wire = _Wire(ours)
        self._is_ready = False

    def wait_until_ready(self) -> None:
        """Returns when it has imported what it needs. Raises OSError if it ends before."""
        if self._is_ready:
            return
        try:
            self._wire.receive()
        except (EOFError, OSError):
            raise OSError(f"no process to decode in could be started ({self._end()})") from None
        self._is_ready = True

    def ask(
        self, request: dict[str, Any], source: str | IO[bytes], into: Any = None
    ) -> dict[str, Any]:
        """Sends a request and serves the child's own until its answer comes."""
        trouble: Exception | None = None
        self._is_busy = True
        try:
            self._wire.send(request)
            while "fetch" in (message := self._receive_in_time()):
                try:
                    assert not isinstance(source, str)
                    source.seek(message["fetch"])
                    content = source.read(message["n_bytes"])
                except Exception as error:
                    trouble, content = error, b""
                self._wire.send({"n_bytes": len(content), "failed": trouble is not None}, content)
            if into is not None and "answer" in message:
                self._wire.receive_into(into)
        except TimeoutError:
            raise _DecoderEnded(self._end(has_stalled=True)) from None
        except (EOFError, OSError, ValueError):
            raise _DecoderEnded(self._end()) from None
        self._is_busy = False
        if trouble:
            raise trouble
        if "answer" in message:
            return dict(message["answer"])
        if "missing" in message:
            raise DecoderMissingError(message["missing"])
        raise AudioError(message["damage"]) if "damage" in message else OSError(message["error"])

    def _receive_in_time(self) -> dict[str, Any]:
        """The next message that is not a sign of life."""
        while (message := self._wire.receive()) == _SIGN_OF_LIFE:
            pass
        return message

    def rest(self) -> None:
        """Closes the recording and waits for the next."""
        if (
            self._is_busy
        ):  # it was interrupted, and its next answer would not be to the next request
            self._end()
            return
        with suppress(OSError):
            self._wire.send({"do": "close"})
            with _lock:
                _idle.append(self)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _end(self, has_stalled: bool = False) -> str:
        """Ends the process; how it came to its end."""
        self._wire.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # it may be ending by itself, and its code says why
        self._process.kill()
        how = system.how_it_ended(self._process.wait())
        if has_stalled or not how:
            return f"its decoder made no progress for {PATIENCE_S / 60:.0f} minutes"
        return f"its decoder crashed {ATTEMPTS} times ({how})"

    def stop(self) -> None:
        self._wire.close()
        self._process.wait()


_idle: list[_Child] = []
_lock = threading.Lock()
system.after_fork(_idle.clear)


def _take() -> _Child:
    """An idle process, or a new one: there are as many as recordings were open at once."""
    with _lock:
        _idle[:] = [child for child in _idle if child.is_alive()]
        child = _idle.pop() if _idle else None
    child = child or _Child()
    child.wait_until_ready()
    return child


def start_ahead() -> None:
    """Has a process to decode in get ready while this one does something else."""
    with _lock:
        if not _idle:
            _idle.append(_Child())


@atexit.register
def _stop_all() -> None:
    with _lock:
        while _idle:
            _idle.pop().stop()


# The child's side.


def serve(channel: int) -> None:
    """Decodes for the process at the other end of a connection, until that is gone."""
    wire = _Wire(system.connected(channel))
    system.give_up_rights(MEMORY_BYTES)
    opened: Recording | None = None
    with suppress(EOFError, OSError):
        wire.send({"answer": {}})
        while True:
            request = wire.receive()
            system.end_in(PATIENCE_S)
            try:
                if opened and request["do"] in ("open", "close"):
                    opened.__exit__(None, None, None)
                    opened = None
                if request["do"] == "open":
                    distant = _Distant(wire, request["size"])
                    source = request["path"] or _Ahead(distant, _READ_AHEAD_BYTES)
                    if isinstance(source, _Ahead):
                        source.is_at_hand = request["is_at_hand"]
                    look = request["look"] and AudioInfo(**request["look"])
                    way = request["way"] and Mp3Way.of(request["way"])
                    opened = _Watched(wire, source, request["name"], look, way, request["channel"])
                    wire.send({"answer": asdict(opened.info)})
                elif request["do"] == "way" and opened:
                    way = opened.way()
                    wire.send({"answer": {"way": way and asdict(way)}})
                elif request["do"] == "read" and opened:
                    measured = range(*request["measured"])
                    segment = opened.read(request["start"], request["n_samples"], measured)
                    answer = {"missing": segment.missing, "quality": asdict(segment.quality)}
                    wire.send({"answer": answer}, segment.samples.data)
            except DecoderMissingError as error:
                wire.send({"missing": str(error)})
            except AudioError as error:
                wire.send({"damage": str(error)})
            except MemoryError:
                much = f"{MEMORY_BYTES >> 20} MB of memory"
                name = opened.name if opened else request["name"]
                wire.send({"damage": f"{name}: takes more than {much} to decode; shorten it"})
            except OSError as error:
                wire.send({"error": f"{type(error).__name__}: {error}"})
            except Exception as error:  # the same file would give it again each night
                name = opened.name if opened else request["name"]
                problem = f"{name}: cannot be decoded ({type(error).__name__}: {error})"
                wire.send({"damage": f"{problem}; check that it plays"})
            system.end_in(0)


class _Watched(Recording):
    """Each block that is done gives time for the next."""

    def __init__(self, wire: _Wire, *arguments: Any) -> None:
        self._wire = wire
        super().__init__(*arguments)

    def _block(self, index: int) -> Any:
        system.end_in(PATIENCE_S)
        if system.PLAIN:
            self._wire.send(_SIGN_OF_LIFE)
        return super()._block(index)


class _Ahead(io.BufferedReader):
    """A file that the other process reads, a piece at a time."""

    is_at_hand = True


class _Distant(SeekableFile):
    """A file that the other process reads."""

    def __init__(self, wire: _Wire, size: int) -> None:
        super().__init__(size)
        self._wire = wire

    def readinto(self, buffer: Any) -> int:
        system.end_in(0)  # the other process may have to wait for its file
        self._wire.send({"fetch": self._position, "n_bytes": len(buffer)})
        reply = self._wire.receive()
        content = bytearray(reply["n_bytes"])
        self._wire.receive_into(content)
        system.end_in(PATIENCE_S)
        if reply["failed"]:
            raise OSError("the other process could not read on")
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
