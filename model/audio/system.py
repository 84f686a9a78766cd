"""What one operating system has and another lacks, and what takes its place: all of it is here.

On POSIX systems a child process gets one end of a pair of sockets, and the system ends it when it
makes no progress. On others, and wherever ``PLAIN`` is set, it connects to its parent, which times
it. Only Linux and its like limit what a child may do.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

PLAIN = os.name != "posix"
"""Do without what Windows lacks. Tests set it; a child process learns it from its parent."""

O_BINARY: int = getattr(os, "O_BINARY", 0)
"""Windows opens files as text without this flag."""

CONNECTS = -1
"""In place of a file descriptor: the child is to connect to its parent."""

_ADDRESS = struct.Struct("<H16s")
_CONNECT_S = 60
_REPLACE_S = 5
_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000  # sched.h


def start_child(
    code: Callable[[int], str], variables: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts a bare Python, connected to this process. What it prints goes nowhere.

    Args:
        code: what it runs, from the number that it hands to ``connected``.
        variables: its environment.

    Returns:
        The process and this end of the connection.

    Raises:
        OSError: it could not be started.
    """

    def start(channel: int, stdin: int, *inherited: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code(channel)],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=variables,
            pass_fds=inherited,
        )

    if not PLAIN:
        ours, theirs = socket.socketpair()
        with theirs:
            return start(theirs.fileno(), subprocess.DEVNULL, theirs.fileno()), ours
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = start(CONNECTS, subprocess.PIPE)
        key = secrets.token_bytes(16)
        with process.stdin as stdin:  # type: ignore[union-attr]
            stdin.write(_ADDRESS.pack(server.getsockname()[1], key))
        try:
            return process, _accept(server, key)
        except OSError:
            process.kill()
            process.wait()
            raise


def _accept(server: socket.socket, key: bytes) -> socket.socket:
    """The child's connection: others on this machine do not know the key."""
    give_up = time.monotonic() + _CONNECT_S
    while True:
        server.settimeout(max(0.01, give_up - time.monotonic()))
        ours, _ = server.accept()
        ours.settimeout(_CONNECT_S)
        with suppress(OSError):
            if secrets.compare_digest(_receive(ours, len(key)), key):
                ours.settimeout(None)
                ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return ours
        ours.close()


def _receive(ours: socket.socket, n_bytes: int) -> bytes:
    content = b""
    while len(content) < n_bytes and (more := ours.recv(n_bytes - len(content))):
        content += more
    return content


def connected(channel: int) -> socket.socket:
    """The child's end of the connection to its parent."""
    global PLAIN
    if channel != CONNECTS:
        return socket.socket(fileno=channel)
    PLAIN = True
    port, key = _ADDRESS.unpack(sys.stdin.buffer.read(_ADDRESS.size))
    theirs = socket.create_connection(("127.0.0.1", port), _CONNECT_S)
    theirs.settimeout(None)
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    theirs.sendall(key)
    return theirs


def end_in(seconds: int) -> None:
    """Has the system end this process then, unless this is called again; 0: no longer."""
    if not PLAIN:
        signal.alarm(seconds)


def how_it_ended(code: int) -> str:
    """A process's exit code in words; empty when ``end_in`` ended it."""
    if code >= 0:
        return f"exit code {code}"
    return "" if code == -getattr(signal, "SIGALRM", 0) else signal.Signals(-code).name


def give_up_rights(memory_bytes: int) -> None:
    """Takes from this process what decoding does not need, as far as the system does that.

    It may allocate so much memory, writes no file, and has no network.
    """
    # The parent decides when to end: a scheduler sends its signals to all processes of a job, and a
    # decoder that ended first would be taken for one that its recording crashed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if PLAIN or not resource:
        return
    for limit, value in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(OSError, ValueError):  # a lower limit holds already
            resource.setrlimit(limit, (value, value))
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        # A root user in a name space of its own could no longer read other users' recordings.
        libc.unshare(_NEW_NETWORK | (_NEW_USER if os.geteuid() else 0))


def after_fork(function: Callable[[], object]) -> None:
    """Has a function called in each copy of this process, where a system copies processes."""
    if register := getattr(os, "register_at_fork", None):
        register(after_in_child=function)


def replace(old: str, new: str) -> None:
    """Renames a file to the name of another, which goes.

    Windows refuses that while anybody reads the other: it is tried again for some seconds.
    """
    give_up = time.monotonic() + _REPLACE_S
    while True:
        try:
            os.replace(old, new)
        except PermissionError:
            if not PLAIN or time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return
