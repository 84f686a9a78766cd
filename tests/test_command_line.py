"""The command line: how flags may be written, what scripts read, and examples that hold."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main, module_of
from pipeline.options import COMMANDS, COUNT, FORMATS, Command, Config, UsageError, console, parse
from tests import fakes, nights

ROOT = Path(__file__).resolve().parents[1]
PLAIN = ["a.wav", "--output", "out"]


def command_of(name: str) -> Command[object]:
    command = import_module(f"pipeline.commands.{module_of(name)}").COMMAND
    assert isinstance(command, Command)
    return command


def test_nobody_reads_on() -> None:
    """As behind ``| head -1``: no trace of an error, whatever was still to be printed."""
    reader, writer = os.pipe()
    os.close(reader)
    for arguments in (["columns"], ["--help"], ["count", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.stderr == "", arguments
    os.close(writer)


def test_a_log_line_is_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def count(argv: object) -> int:
        logging.getLogger("pipeline.results.transforms").error("failures: 3 of 4")
        logging.getLogger("urllib3").warning("slow")
        return 0

    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr("pipeline.commands.count.main", count)
    assert main(["count"]) == 0
    assert capsys.readouterr().err == "capuchinbird: failures: 3 of 4\nurllib3: slow\n"


@pytest.mark.parametrize(
    "words",
    [
        ["a.wav", "--output", "out", "--time-zone", "-03:00"],
        ["--input", "a.wav", "--output=out", "--time_zone=-03:00"],
        ["--time-zone=-03:00", "--output", "out", "a.wav"],
    ],
)
def test_words_in_any_order_dashes_or_underscores(words: list[str]) -> None:
    expected = Config(inputs=("a.wav",), output="out", time_zone="-03:00", states_counting=False)
    assert parse(words) == expected


@given(st.lists(st.sampled_from(FORMATS), min_size=1, unique=True), st.data())
def test_formats_however_they_are_written(names: list[str], data: st.DataObject) -> None:
    spelt = [data.draw(st.sampled_from([name, name.upper(), name.capitalize()])) for name in names]
    ways = [
        ["--format", *spelt],
        ["--format", ",".join(spelt)],
        [f"--format={','.join(spelt)}"],
        ["--format", ", ".join(spelt)],
        [word for name in spelt for word in ("--format", name)],
    ]
    for way in ways:
        assert parse([*PLAIN, *way]).formats == tuple(names)


OURS = ["--threshold=0.7"], ["--time-zone", "-03:00"], ["--no-report"], ["--moved", "/a=/b"]
BEAMS = ["--runner=X"], ["--direct_num_workers", "4"], ["--temp_location=gs://b"]
GROUPS = st.lists(st.sampled_from([*OURS, *BEAMS, ["a.wav"], ["b.wav"]]), max_size=8)


@given(GROUPS)
def test_no_word_is_lost(groups: list[list[str]]) -> None:
    """Each ends as a flag of ours, as a recording or with Beam, in its order."""
    config = parse(["first.wav", "--output", "o", *(word for group in groups for word in group)])
    recordings = [group[0] for group in groups if group[0][0] != "-"]
    assert config.inputs == ("first.wav", *recordings)
    assert list(config.beam_args) == [word for group in groups if group in BEAMS for word in group]
    assert (config.threshold == 0.7) is (OURS[0] in groups)
    assert (config.time_zone == "-03:00") is (OURS[1] in groups)
    assert config.report is (OURS[2] not in groups)
    assert config.moved == (("/a", "/b"),) * groups.count(OURS[3])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_by_either_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for words in (["help", name], [name, "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["rescore", "drift", "report"])
def test_a_folder_needs_no_flag(name: str) -> None:
    more = ["--model", "m"]
    command, more = command_of(name), more if name == "drift" else []
    assert command.parse(["results", *more]) == command.parse(["--output", "results", *more])
    with pytest.raises(UsageError, match="results others: one is expected"):
        command.parse(["results", "others", *more])


def test_all_exit_codes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    codes = re.findall(r"^  (\d+) ", capsys.readouterr().out, re.MULTILINE)
    assert codes == ["0", "1", "2", "3", "4", "130", "143"]


def test_a_misspelt_flag_of_any_command() -> None:
    with pytest.raises(UsageError, match="no flag --per-siet; did you mean --per_site"):
        command_of("clips").parse(["results", "--per-siet", "3"])
    with pytest.raises(UsageError, match="no flag --colour"):
        command_of("clips").parse(["results", "--colour", "3"])


# Settings in a file


def settings(folder: Path, text: str) -> str:
    (folder / "birds.toml").write_text(text)
    return str(folder / "birds.toml")


def test_a_file_of_flags(tmp_path: Path) -> None:
    text = """
        output = "out"
        format = ["raven", "excel"]
        report = false
        threshold = 0.7
        direct_num_workers = 2
        [count]
        input = ["a.wav", "b.wav"]
        allow-empty = true
        night = 2024-06-01
        bigquery = "p.d"
        [rescore]
        threshold = 0.8
    """
    file = settings(tmp_path, text.replace("report = false", "no_report = true"))
    config = parse(["--config", file])
    words = "a.wav b.wav --output=out --format=raven,excel --no_report --allow_empty"
    words += " --threshold=0.7 --direct_num_workers=2 --night=2024-06-01 --bigquery=p.d"
    assert config == parse(words.split())
    said = parse(["--config", file, "c.wav", "--format", "aoef", "--no_report=false"])
    assert (said.inputs, said.formats, said.report) == (("c.wav",), ("aoef",), True)
    file = settings(tmp_path, 'output = "out"\n[count]\ninput = "a"\n[rescore]\nthreshold = 0.8')
    assert getattr(command_of("rescore").parse(["--config", file]), "threshold", 0) == 0.8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("threshold = 2", "2 must lie between 0 and 1"),
        ("threshold =", "Invalid value"),
        ("[colour]\nx = 1", "is no command"),
        ("per_siet = 3", "no flag --per_siet; did you mean --per_site?"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = settings(tmp_path, text)
    command, words = (command_of("clips"), ["results"]) if "per" in text else (COUNT, PLAIN)
    with pytest.raises(UsageError, match=re.escape(message)):
        command.parse([*words, "--config", file])
    with pytest.raises(UsageError, match="No such file"):
        command.parse(["--config", str(tmp_path / "none.toml")])


# For scripts


def test_json_is_all_that_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def count(argv: list[str]) -> int:
        COUNT.parse(argv)
        console.say("for people", run={"totals": 3})
        return 3

    monkeypatch.setattr("pipeline.commands.count.main", count)
    assert main(["count", *PLAIN, "--json"]) == 3
    assert json.loads(capsys.readouterr().out) == {
        "command": "count",
        "exit_code": 3,
        "run": {"totals": 3},
    }
    assert main(["count", *PLAIN, "--quiet"]) == 3
    assert capsys.readouterr().out == ""
    assert main(["count", "--json"]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"] in printed.err
    assert main(["count", *PLAIN]) == 3
    assert capsys.readouterr().out == "for people\n"


def test_a_plan_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nights.write_recording(tmp_path / "a" / "a.wav", bursts=0)
    model = str(fakes.write_model(tmp_path / "model"))
    words = ["plan", str(tmp_path / "a"), "--output", str(tmp_path / "out"), "--model", model]
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["plan"]["recordings"] == 1
    assert printed["exit_code"] == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert "rescore" in script.read_text()
    if shell == "bash":
        ask = (
            f"source {script}; COMP_WORDS=(capuchinbird count --thr); COMP_CWORD=2; "
            "_shtab_capuchinbird; echo ${COMPREPLY[@]}"
        )
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
        assert done.stdout == "--threshold\n"


# Examples


def examples(text: str) -> Iterator[list[str]]:
    """The command lines of this program in a text, as words."""
    for line in text.replace("\\\n", " ").splitlines():
        match = re.match(r"\s*(?:\./run_local\.sh|capuchinbird) +([^ #].*)", line)
        if match:
            words = shlex.split(match[1], comments=True)
            yield [word for word in words if not word.startswith(">")]  # the shell's


def check_example(words: list[str]) -> None:
    name, *rest = words if not words[0].startswith("-") else ["count", *words]
    module = import_module(f"pipeline.commands.{module_of(name)}")
    if {"--help", "--version"} & {*words}:
        return
    if name in ("count", "plan"):
        parse(rest, command=module.COMMAND)
    else:
        module.COMMAND.parse(rest)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_in_the_help_can_be_read(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    text = capsys.readouterr().out.partition("For example:")[2].partition("\n\n")[0]
    found = list(examples(text))
    assert len(found) == len(text.strip().splitlines()) > 0
    for words in found:
        check_example(words)


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_example_in_the_documents_can_be_read(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = document.read_text("utf-8")
    for name, content in re.findall(
        r"^```toml\n# (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    ):
        (tmp_path / name).write_text(content)
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for words in examples("\n".join(blocks)):
        check_example(words)
