"""What a recording may do to the process that decodes it, and to nothing else."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.audio import isolated
from model.audio.decoders import AudioError
from model.audio.isolated import IsolatedRecording
from model.audio.recording import Recording
from pipeline import launch
from tests import fakes, hostile_decoder, nights
from tests.conftest import noise_with_bursts

pytestmark = pytest.mark.usefixtures("plain_loop")


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    isolated._stop_all()
    monkeypatch.setattr(isolated, "_CODE", hostile_decoder.CODE)
    yield
    isolated._stop_all()


def write(path: Path, seconds: float = 25) -> str:
    soundfile.write(path, noise_with_bursts(seconds, 22_050, 2, [1.5]), 22_050)
    return str(path)


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "ogg"])
def test_the_samples_are_the_same_bit_for_bit(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}")
    content = io.BytesIO(Path(path).read_bytes())
    with (
        Recording(path) as here,
        IsolatedRecording(path, path) as apart,
        IsolatedRecording(content, path) as from_object,
    ):
        assert here.info == apart.info == from_object.info
        for start, n in ((0, 400_000), (100_000, 90_001), (390_000, 50_000), (5, 0)):
            expected = here.read(start, n, range(n))
            for opened in (apart, from_object):
                found = opened.read(start, n, range(n))
                assert np.array_equal(found.samples, expected.samples)
                assert (found.missing, found.quality) == (expected.missing, expected.quality)


@pytest.mark.slow
def test_a_decoder_that_crashes_twice_fails_its_recording(tmp_path: Path, hostile: None) -> None:
    path = write(tmp_path / "crash.wav")
    with (
        IsolatedRecording(path, path) as opened,
        pytest.raises(AudioError, match=r"crash.wav: its decoder crashed 2 times \(SIGSEGV\)"),
    ):
        opened.read(0, 1000)


@pytest.mark.slow
def test_a_decoder_that_crashes_once_is_started_again(tmp_path: Path, hostile: None) -> None:
    path = write(tmp_path / "once.wav")
    with Recording(path) as here, IsolatedRecording(path, path) as opened:
        assert np.array_equal(opened.read(0, 1000).samples, here.read(0, 1000).samples)
    assert (tmp_path / "once.fallen").exists()


@pytest.mark.slow
def test_a_decoder_that_makes_no_progress_is_ended(tmp_path: Path, hostile: None) -> None:
    path = write(tmp_path / "hang.wav")
    with (
        IsolatedRecording(path, path) as opened,
        pytest.raises(AudioError, match="made no progress for 10 minutes"),
    ):
        opened.read(0, 1000)


def test_a_decoder_gets_no_more_memory_than_is_good_for_it(tmp_path: Path, hostile: None) -> None:
    path = write(tmp_path / "memory.wav")
    with (
        IsolatedRecording(path, path) as opened,
        pytest.raises(AudioError, match="takes more than 1024 MB"),
    ):
        opened.read(0, 1000)


def test_what_a_decoder_prints_goes_nowhere(
    tmp_path: Path, hostile: None, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "noise.wav")
    with IsolatedRecording(path, path) as opened:
        opened.read(0, 1000)
    assert capfd.readouterr() == ("", "")


def test_a_source_that_breaks_off_says_so_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")

    class Broken(io.BytesIO):
        def read(self, n: int | None = -1) -> bytes:
            if self.tell() > 1_000_000:
                raise ConnectionError("reset by peer")
            return super().read(n)

    source = Broken(Path(path).read_bytes())
    with IsolatedRecording(source, path) as opened:
        opened.read(0, 1000)
        with pytest.raises(ConnectionError, match="reset by peer"):
            opened.read(300_000, 1000)


def test_a_process_decodes_one_recording_after_another(tmp_path: Path) -> None:
    isolated._stop_all()
    for name in ("a.wav", "b.flac"):
        path = write(tmp_path / name)
        with IsolatedRecording(path, path) as opened:
            opened.read(0, 1000)
        with pytest.raises(AudioError, match="No such file"):
            IsolatedRecording(f"{path}.gone", f"{path}.gone")
    assert len(isolated._idle) == 1


def test_a_decoder_that_was_started_ahead_is_the_first_that_is_used(tmp_path: Path) -> None:
    isolated._stop_all()
    isolated.start_ahead()
    isolated.start_ahead()
    [child] = isolated._idle
    path = write(tmp_path / "a.wav")
    with IsolatedRecording(path, path) as opened:
        assert opened._child is child
        assert not isolated._idle
        opened.read(0, 1000)
    child._process.kill()
    child._process.wait()
    with IsolatedRecording(path, path) as opened:
        assert opened._child is not child
        opened.read(0, 1000)


def test_a_decoder_knows_no_credentials_and_writes_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/secret.json")
    isolated._stop_all()
    child = isolated._take()
    status = Path(f"/proc/{child._process.pid}")
    assert b"secret" not in (status / "environ").read_bytes()
    limits = (status / "limits").read_text()
    assert "Max file size             0" in limits
    child.rest()


def test_a_signal_to_all_processes_of_a_job_is_no_fault_of_a_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    with IsolatedRecording(path, path) as opened:
        child = opened._child
        assert child
        child._process.terminate()
        child._process.send_signal(signal.SIGINT)
        opened.read(0, 1000)
        assert opened._child is child
        assert child.is_alive()


def test_no_decoder_outlives_who_started_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    script = (
        "import os, signal; from model.audio import isolated\n"
        f"opened = isolated.IsolatedRecording({path!r}, 'a.wav')\n"
        "print(opened._child._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=nights.ROOT, stdout=subprocess.PIPE, check=False
    )
    pid = int(done.stdout)

    def has_ended() -> bool:
        try:
            return ") Z " in Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return True

    nights.wait_until(has_ended, patience_s=20)


@pytest.mark.slow
def test_a_night_goes_on_whatever_becomes_of_a_decoder(
    tmp_path: Path, hostile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    model, archive = fakes.write_model(tmp_path / "model"), tmp_path / "archive"
    for name in ("a", "crash", "hang", "memory", "z"):
        nights.write_recording(archive / f"{name}.wav", bursts=1)
    paths = ("--input", archive, "--model", model, "--output", tmp_path / "out")
    assert nights.launch_here(*paths) == 3  # more than half have failed
    rows = nights.read(tmp_path / "out" / "counts.csv")
    assert [row["outcome"] for row in rows] == ["ok", "failed", "failed", "failed", "ok"]
    before = nights.bytes_of(tmp_path / "out")
    assert nights.launch_here(*paths) == 0  # nothing is tried again
    assert nights.bytes_of(tmp_path / "out") == before


def test_a_fork_starts_decoders_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    with IsolatedRecording(path, path):
        pass
    assert isolated._idle
    pid = os.fork()
    if pid == 0:
        os._exit(len(isolated._idle))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
