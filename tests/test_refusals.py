"""What is refused before anything starts: in words that say what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import launch, options
from pipeline.__main__ import main
from pipeline.inputs.manifests import remarks
from tests import fakes, nights

pytestmark = pytest.mark.usefixtures("plain_loop")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    nights.write_recording(tmp_path / "archive" / "a.wav", bursts=1)
    return tmp_path / "archive"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a refused command prints."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_a_folder_without_a_flag(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused([str(archive)], capsys)
    assert f"capuchinbird count {archive} --output results" in line


@pytest.mark.parametrize(
    "before",
    [["--direct_num_workers=2"], ["--direct_num_workers", "2"], ["--no_report"], ["--output", "x"]],
)
def test_no_recording_in_the_wrong_place_is_lost(before: list[str]) -> None:
    config = options.parse(["--input", "a.wav", "--output", "x", *before, "b.wav"])
    assert {*config.inputs} == {"a.wav", "b.wav"}


def test_a_recording_behind_a_switch_of_beam_is_not_lost(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fakes.write_model(tmp_path / "model")
    flags = ["--model", str(model), "--input", str(archive), "--output", str(tmp_path / "out")]
    line = refused([*flags, "--streaming", "b.wav"], capsys)
    assert "unknown argument b.wav; name recordings with --input" in line


@pytest.mark.parametrize("flag", ["--input", "--output", "--model", "--manifest"])
def test_a_store_that_is_not_read(
    flag: str, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(
        ["--input", str(archive), "--output", str(tmp_path / "out"), flag, "s3://b/x"], capsys
    )
    assert f"{flag} s3://b/x: write a path, or a name in a bucket as gs://" in line


def test_a_misspelt_command_and_a_misspelt_flag(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "did you mean rescore?" in refused(["rescor"], capsys)
    arguments = ["--input", str(archive), "--output", str(tmp_path / "out"), "--tresold", "0.5"]
    assert "did you mean --threshold?" in refused(arguments, capsys)


@pytest.mark.parametrize(("wrong", "right"), [("--ouput", "--output"), ("--imput", "--input")])
def test_a_misspelt_flag_that_must_be_there(
    wrong: str, right: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--input", str(archive), "--output", "x"]
    line = refused([wrong if word == right else word for word in arguments], capsys)
    assert f"no flag {wrong}; did you mean {right}?" in line


def test_a_folder_without_recordings_and_one_with_links_only(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fakes.write_model(tmp_path / "model")
    card = tmp_path / "card"
    card.mkdir()
    (card / "notes.txt").write_text("")
    flags = ["--output", str(tmp_path / "out"), "--model", str(model), "--input", str(card)]
    assert "holds no recording (1 other file: 1 .txt); recordings end in aac" in refused(
        flags, capsys
    )
    (card / "linked").symlink_to(archive)
    assert f"holds only links to folders ({card / 'linked'})" in refused(flags, capsys)


def test_links_to_folders_are_said(archive: Path, tmp_path: Path) -> None:
    (archive / "linked").symlink_to(tmp_path)
    config = options.parse(["--input", str(archive), "--output", "x"])
    assert remarks(config, []) == [
        f"{archive / 'linked'}: a link to a folder, which is not followed; name it with --input "
        "to count it"
    ]


def test_a_full_disk_is_one_line() -> None:
    error = RuntimeError(
        "Traceback (most recent call last):\nOSError: [Errno 28] No space left on device\n"
        "RuntimeError: OSError: [Errno 28] No space left on device [while running 'Write']"
    )
    assert launch.why_it_failed(error, "out") == (
        "capuchinbird: the job failed: out: No space left on device; make room and run it again: "
        "it goes on from what is done"
    )
    assert launch.why_it_failed(ValueError("a\nb"), "out").splitlines()[-1].endswith("failed: b")


def test_what_an_error_says_does_not_decide_what_it_was(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed job is a refusal, or one with too many failures, only if the job left that word."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("IdentityError: a file of that name\nTooManyFailedError: it ended as x")

    monkeypatch.setattr(launch, "run_job", fail)
    model = fakes.write_model(tmp_path / "model")
    assert nights.launch_here("--input", archive, "--model", model, "--output", tmp_path / "o") == 1


def test_a_decimal_comma(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(["--input", str(archive), "--output", "x", "--threshold", "0,5"], capsys)
    assert "0,5 is no number; write 0.5" in line


@pytest.mark.parametrize("name", ["counts.csv", "calls.csv"])
def test_tables_of_somebody_else_are_not_overwritten(
    archive: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fakes.write_model(tmp_path / "model")
    output = tmp_path / "mine"
    output.mkdir()
    (output / name).write_text("species,n\nmacaw,3\n")
    line = refused(
        ["--input", str(archive), "--output", str(output), "--model", str(model)], capsys
    )
    assert f"{name} there is not from this program" in line
    assert [path.name for path in output.iterdir()] == [name]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--input", "gs://bucket/a.wav", "--output", "OUT"],
        ["--input=gs://bucket/a.wav", "--output=OUT"],
        ["plan", "--input", ".", "--output", "gs://bucket/out"],
        ["rescore", "--output", "gs://bucket/out"],
        ["show", "gs://bucket/a.wav", "--output", "OUT"],
        ["report", "gs://bucket/out"],
        ["publish", "--to", "gs://bucket/models"],
    ],
)
def test_a_bucket_without_credentials(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for variable in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    line = refused([word.replace("OUT", str(tmp_path / "out")) for word in arguments], capsys)
    assert "no Google credentials" in line
    assert "gcloud auth application-default login" in line


def test_a_damaged_mp3_adds_no_notes_of_its_decoder(
    archive: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(1).bytes(3000)
    (archive / "damaged.mp3").write_bytes(noise)
    model = fakes.write_model(tmp_path / "model")
    flags = ["--input", str(archive), "--output", str(tmp_path / "out"), "--model", str(model)]
    assert main(["plan", *flags]) == 0
    printed = capfd.readouterr()
    assert "1 of 2 cannot be read" in printed.out
    assert printed.err == ""
    assert main(["show", str(archive / "damaged.mp3"), "--output", str(tmp_path / "a.png")]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert "it is in no known format" in line
