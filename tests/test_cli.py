"""What a person sees who gets the command line wrong: one line, and nothing has started."""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls import log_odds
from pipeline import options
from pipeline.__main__ import main
from pipeline.inference.count import Counting, shifted_score
from pipeline.options import COMMANDS
from pipeline.records import SCORE_DIGITS
from pipeline.storage import files
from tests.conftest import Recordings
from tests.fakes import contract, write_model

Call = Callable[..., tuple[object, list[str]]]


@pytest.fixture
def call(
    recordings: Recordings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Runs the command and returns its exit code and its lines on standard error."""
    folder, _ = recordings
    model = write_model(tmp_path / "model")

    def call(**changes: object) -> tuple[object, list[str]]:
        flags = {"input": str(folder), "model": str(model), "output": str(tmp_path / "out")}
        arguments = [f"--{k}={v}" for k, v in {**flags, **changes}.items() if v is not None]
        code: object
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
        assert not list((tmp_path / "out").glob("*.csv"))
        return code, capsys.readouterr().err.splitlines()

    return call


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "/nowhere/*.wav"}, "matches no file"),
        ({"input": None}, "name the recordings"),
        ({"output": None}, "required: --output"),
        ({"output": "/dev/null/x"}, "cannot write there"),
        ({"manifest": "/nowhere/list.csv"}, "--manifest /nowhere/list.csv"),
        ({"model": "/nowhere"}, "lacks contract.json"),
        ({"hop_s": "5"}, "5 must lie above 0, up to 3"),
        ({"hop_s": "often"}, "often"),
        ({"threshold": "1"}, "1 must lie between 0 and 1"),
        ({"threshold": "+much"}, "+much"),
        ({"threshold": "-nan"}, "-nan must lie above -16, up to 16"),
        ({"segment_s": "0"}, "0 must lie above 0"),
        ({"counting": "stars"}, "invalid choice"),
        ({"format": "papyrus"}, "invalid choice"),
        ({"max_failed_fraction": "2"}, "between 0 and 1"),
        ({"thresold": "0.5"}, "did you mean --threshold?"),
        ({"runner": "NoSuchRunner"}, "NoSuchRunner"),
    ],
)
def test_bad_arguments_get_one_line(call: Call, changes: dict[str, Any], message: str) -> None:
    code, lines = call(**changes)
    assert code == 2
    [line] = lines
    assert message in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate_hz": 48_000}, "wants 48000 Hz"),
        ({"window_samples": 16_000}, "windows of 16000"),
        ({"model_sha256": "0" * 64}, "not the file that contract.json describes"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_the_run(
    call: Call, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    raw = {**json.loads(contract().to_json()), **change}
    code, [line] = call(model=write_model(tmp_path / "other", json.dumps(raw)))
    assert code == 2
    assert message in line


def test_a_model_folder_without_a_network_is_refused(call: Call, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "other")
    (folder / "model.keras").unlink()
    code, [line] = call(model=folder)
    assert code == 2
    assert "lacks model.keras" in line


def test_help_explains_units_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["count", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "exit codes" in text
    for flag in ("--hop_s SECONDS", "--segment_s SECONDS", "--threshold SCORE"):
        assert flag in text


@pytest.mark.parametrize("command", ["count", "rescore"])
def test_help_names_the_threshold_of_the_model_that_ships(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    own = json.loads((Path(options.RELEASED_MODEL) / "contract.json").read_text())["rule"]
    text = " ".join(capsys.readouterr().out.split())
    assert f"the released model's is {own['threshold']:g}" in text


@given(st.floats(-8, 8))
def test_a_threshold_with_a_sign_shifts_the_models_own(by: float) -> None:
    config = options.parse(["--input=a.wav", "--output=o", f"--threshold={by:+f}"])
    assert config.states_counting
    found = Counting.of(config, contract(), "run").rule.threshold
    assert found == shifted_score(contract().rule.threshold, round(by, 6))


@given(st.floats(0.001, 0.999), st.floats(-30, 30))
def test_a_shifted_threshold_is_one(score: float, by: float) -> None:
    moved = shifted_score(score, by)
    assert 0 < moved < 1
    assert moved == round(moved, SCORE_DIGITS)  # so it can be stated as it is printed
    if 1e-3 < moved < 1 - 1e-3:
        assert log_odds(moved) == pytest.approx(log_odds(score) + by, abs=0.01)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_names_its_siblings_and_no_default_that_is_none(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(SystemExit):
        main([name, "--help"])
    text = capsys.readouterr().out
    assert "default: None" not in text
    assert "other commands, each with --help:" in text
    words = set(re.findall(r"\w[\w-]*", text))
    assert COMMANDS.keys() - {name, "count"} <= words
    assert "--version" in text
    assert f"For example:\n  capuchinbird {name}" in text
    assert str(Path(__file__).parents[1]) not in text  # no default names this machine's folders


def test_what_most_people_need_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["count", "--help"])
    text = capsys.readouterr().out
    assert "capuchinbird count recordings/ --output results" in text
    flags = re.findall(r"^  (--\w+)", text, flags=re.MULTILINE)
    assert flags[:3] == ["--input", "--output", "--deployments"]


@pytest.mark.slow
def test_a_failing_job_is_exit_code_1(
    recordings: Recordings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, _ = recordings

    def disk_full(*_: object) -> None:
        raise OSError("No space left on device")

    model = write_model(tmp_path / "model")
    real = files.writing
    monkeypatch.setattr(
        files, "writing", lambda name: real(name) if name.endswith(".writable") else disk_full()
    )
    from pipeline import launch
    from tests.fakes import CountedLoader

    monkeypatch.setattr(launch, "ModelLoader", lambda directory: CountedLoader())
    code = main(["--input", f"{folder}/short.wav", f"--model={model}", f"--output={tmp_path}/o"])
    assert code == 1
    assert re.search("the job failed: .*No space left", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    first_words = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert COMMANDS.keys() <= first_words


@pytest.mark.parametrize(
    ("name", "hint"), [("rescor", "did you mean rescore?"), ("xyzzy", "capuchinbird --help")]
)
def test_a_command_that_does_not_exist_gets_a_hint(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert hint in line


def test_flags_alone_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def count(argv: object) -> int:
        seen.append(argv)
        return 0

    monkeypatch.setattr("pipeline.commands.count.main", count)
    assert main(["--input", "x"]) == main(["count", "--input", "x"]) == 0
    assert seen == [["--input", "x"]] * 2


def test_an_interruption_is_one_line_and_its_own_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(argv: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.commands.count.main", interrupted)
    assert main(["count"]) == 130
    assert "interrupted" in capsys.readouterr().err
