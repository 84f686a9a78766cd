"""What one operating system lacks lies in one module, and what takes its place works here, too."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.audio import isolated, system
from model.audio.decoders import AudioError
from model.audio.isolated import IsolatedRecording
from model.audio.recording import Recording
from tests import hostile_decoder
from tests.conftest import noise_with_bursts
from tests.test_house import ROOT, imports, modules, tree

ABSENT_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
"""Modules that Windows or macOS lacks."""
ABSENT_NAMES = {
    "os": {
        *("chown", "fchmod", "fork", "forkpty", "geteuid", "getpgid", "getpriority", "getuid"),
        *("killpg", "mkfifo", "nice", "register_at_fork", "sched_getaffinity", "setsid", "statvfs"),
        *("sync", "sysconf", "uname", "wait4", "waitpid"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2"),
        *("alarm", "pthread_sigmask", "setitimer", "sigwait"),
    },
    "socket": {"AF_UNIX", "MSG_WAITALL", "send_fds", "recv_fds"},
    "time": {"tzset", "pthread_getcpuclockid"},
}
ABSENT_ARGUMENTS = {"pass_fds", "preexec_fn", "process_group", "start_new_session"}


def write(path: Path) -> str:
    soundfile.write(path, noise_with_bursts(25, 22_050, 2, [1.5]), 22_050)
    return str(path)


def uses(module: str) -> Iterator[str]:
    """What a module uses that another system lacks; a string in ``getattr`` asks first."""
    yield from (i.name for i in imports(module) if i.name.partition(".")[0] in ABSENT_MODULES)
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in ABSENT_NAMES.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if alias.name in ABSENT_NAMES.get(node.module or "", ())
            )
        elif isinstance(node, ast.keyword) and node.arg in ABSENT_ARGUMENTS:
            yield node.arg


def test_what_a_system_may_lack_is_used_in_one_module() -> None:
    users = {module: set(uses(module)) for module in modules() if "benchmarks" not in module}
    users = {module: names for module, names in users.items() if names}
    assert users.keys() == {"model.audio.system"}, users
    assert {"resource", "signal.alarm", "os.geteuid", "pass_fds"} <= users["model.audio.system"]


def test_texts_are_read_and_written_as_utf_8() -> None:
    rule = ["-q", "--preview", "--select", "PLW1514"]
    command = [sys.executable, "-m", "ruff", "check", *rule, "capuchinbird", "model", "pipeline"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a system without POSIX, with decoders that do what the recording's name says."""
    isolated._stop_all()
    monkeypatch.setattr(system, "PLAIN", True)
    monkeypatch.setattr(isolated, "_CODE", hostile_decoder.CODE)
    yield
    isolated._stop_all()


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["wav", "mp3"])
def test_the_samples_are_the_same_without_posix(
    tmp_path: Path, extension: str, plain: None
) -> None:
    path = write(tmp_path / f"a.{extension}")
    content = io.BytesIO(Path(path).read_bytes())
    with (
        Recording(path) as here,
        IsolatedRecording(path, path) as apart,
        IsolatedRecording(content, path) as from_object,
    ):
        assert here.info == apart.info == from_object.info
        expected = here.read(100_000, 200_001)
        for opened in (apart, from_object):
            read = opened.read(100_000, 200_001)
            assert np.array_equal(read.samples, expected.samples)


@pytest.mark.slow
def test_without_posix_the_parent_ends_a_decoder_that_stands_still(
    tmp_path: Path, plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "PATIENCE_S", 2)
    monkeypatch.setattr(isolated, "ATTEMPTS", 1)
    path = write(tmp_path / "hang.wav")
    with IsolatedRecording(path, path) as opened:
        assert opened._child
        process = opened._child._process
        with pytest.raises(AudioError, match=r"hang.wav: its decoder made no progress"):
            opened.read(0, 1000)
    assert process.poll() is not None


def test_without_posix_a_decoder_that_crashes_fails_its_recording(
    tmp_path: Path, plain: None
) -> None:
    path = write(tmp_path / "crash.wav")
    with (
        IsolatedRecording(path, path) as opened,
        pytest.raises(AudioError, match=r"crash.wav: its decoder crashed 2 times"),
    ):
        opened.read(0, 1000)


def test_without_posix_a_decoder_ends_with_its_parent(plain: None) -> None:
    child = isolated._take()
    child._wire.close()
    assert child._process.wait(20) == 0


def test_a_stranger_is_not_taken_for_the_child(
    plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    create = socket.create_server

    def with_a_stranger(address: tuple[str, int]) -> socket.socket:
        server = create(address)
        stranger = socket.create_connection(server.getsockname())
        stranger.sendall(b"not the key here")
        strangers.append(stranger)
        return server

    strangers: list[socket.socket] = []
    monkeypatch.setattr(socket, "create_server", with_a_stranger)
    child = isolated._take()
    assert child.is_alive()
    child.rest()
    strangers[0].settimeout(5)
    assert strangers[0].recv(1) == b""
    strangers[0].close()


def test_a_file_that_is_being_read_is_replaced_a_little_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "PLAIN", True)
    tries = iter([PermissionError("in use"), PermissionError("in use"), None])
    rename = os.replace

    def busy(old: Path, new: Path) -> None:
        if error := next(tries):
            raise error
        rename(old, new)

    monkeypatch.setattr(os, "replace", busy)
    (tmp_path / "a").write_bytes(b"new")
    system.replace(str(tmp_path / "a"), str(tmp_path / "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
