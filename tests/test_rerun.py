"""A run with nothing to do ends at once, and leaves what the job would have left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import launch, options
from pipeline.__main__ import main
from pipeline.options import FORMATS, Config
from pipeline.rerun import done_already
from pipeline.results.render import formats_in
from pipeline.run import run_of
from tests import fakes, nights

pytestmark = pytest.mark.usefixtures("plain_loop")

ALL_FORMATS = [flag for name in FORMATS for flag in ("--format", name)]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive, a model and the output of a first run with every format."""
    folder = tmp_path_factory.mktemp("night")
    nights.write_recording(folder / "archive" / "SITE_20240611_053000.wav", 2)
    nights.write_recording(folder / "archive" / "b.wav", 0)
    (folder / "archive" / "damaged.wav").write_text("not audio")
    fakes.write_model(folder / "model")
    run(folder, folder / "out")
    return folder


def arguments(folder: Path, output: Path, *more: str) -> list[str]:
    flags = ["--input", str(folder / "archive"), "--model", str(folder / "model")]
    return [*flags, "--output", str(output), *ALL_FORMATS, *more]


def run(folder: Path, output: Path, *more: str) -> int:
    """The whole job."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
        return nights.launch_here(*arguments(folder, output, *more))


@pytest.fixture
def rerun(night: Path, tmp_path: Path) -> Callable[..., int | None]:
    """Tries to end a run at once, in a copy of the night."""
    shutil.copytree(night, tmp_path / "night", copy_function=shutil.copy2)

    def rerun(*more: str) -> int | None:
        config = config_of(night, tmp_path, *more)
        return done_already(run_of(config))

    return rerun


def config_of(night: Path, tmp_path: Path, *more: str) -> Config:
    flags = arguments(night, tmp_path / "night" / "out", "--no_report", *more)
    return options.parse(flags)


def tree(output: Path) -> dict[str, bytes]:
    """All files but run.json and the notes of runs."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != "run.json" and not path.name.endswith(".drift.json")
    }


def lasting(run_json: Path) -> dict[str, Any]:
    """run.json without what differs from run to run."""
    report: dict[str, Any] = json.loads(run_json.read_text())
    of_the_run = ("run_id", "started_at", "finished_at", "throughput", "configuration", "checksum")
    for name in of_the_run:
        del report[name]
    del report["counting"]["run_id"]
    return report


@pytest.mark.slow
def test_it_leaves_what_the_job_leaves(
    night: Path, tmp_path: Path, rerun: Callable[..., int | None]
) -> None:
    copy, by_job = tmp_path / "night" / "out", tmp_path / "by_job"
    shutil.copytree(copy, by_job)
    assert rerun() == 0
    assert run(night, by_job) == 0
    assert tree(copy) == tree(by_job)
    assert lasting(copy / "run.json") == lasting(by_job / "run.json")
    assert json.loads((copy / "run.json").read_text())["totals"]["outcomes"]["skipped"] == 3


def test_it_says_what_the_output_holds_and_what_had_failed(
    rerun: Callable[..., int | None], capsys: pytest.CaptureFixture[str]
) -> None:
    rerun()
    printed = capsys.readouterr().out
    assert "nothing new: 3 of 3 recordings were done before" in printed
    assert "3 recordings, 2 calls (1 with calls, 1 without calls, 1 failed)" in printed
    assert "damaged.wav: " in printed
    assert "real time" not in printed


@pytest.mark.slow
def test_a_partly_new_run_tells_its_own_part_and_the_whole(
    night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    shutil.copytree(night / "out", output)
    nights.write_recording(tmp_path / "more" / "new.wav", 1)
    run(night, output, "--input", str(tmp_path / "more"))
    printed = capsys.readouterr().out
    assert "1 recording, 1 call (1 with calls); 3 more were done before" in printed
    assert "4 recordings, 3 calls (2 with calls, 1 without calls, 1 failed)" in printed
    assert "no time known 2 of 4 recordings" in printed
    told = json.loads((output / "run.json").read_text())
    assert (told["totals"]["calls"], told["output"]["calls"]) == (1, 3)


def change_table(output: Path) -> None:
    with (output / "calls.csv").open("a") as file:
        file.write("x\n")


def remove(name: str) -> Callable[[Path], None]:
    return lambda output: (output / name).unlink()


def remove_a_selection_table(output: Path) -> None:
    next((output / "raven").rglob("*.txt")).unlink()


def remove_a_part_of_a_data_set(output: Path) -> None:
    next((output / "calls.parquet").iterdir()).unlink()


def add_a_table_of_what_failed(output: Path) -> None:
    tables = {path.name for path in (output / "audacity").rglob("*.txt")}
    run_json = json.loads((output / "run.json").read_text())
    assert run_json["totals"]["outcomes"]["failed"] == 1
    from pipeline.exports.tool_formats import AUDACITY, table_name

    _, damaged = (output / "failures.csv").read_text().splitlines()
    path = output / table_name(damaged.split(",")[0], AUDACITY)
    assert path.name not in tables
    path.write_text("")


@pytest.mark.parametrize(
    "spoil",
    [
        change_table,
        remove_a_selection_table,
        add_a_table_of_what_failed,
        remove_a_part_of_a_data_set,
        *(remove(name) for name in ("counts.csv", "failures.csv", "run.json")),
    ],
)
def test_a_table_that_is_not_as_it_should_be_takes_a_job(
    spoil: Callable[[Path], None], rerun: Callable[..., int | None], tmp_path: Path
) -> None:
    output = tmp_path / "night" / "out"
    spoil(output)
    before = tree(output)
    assert rerun() is None
    assert tree(output) == before


@pytest.mark.parametrize(
    "flags",
    [
        ["--threshold", "0.7"],
        ["--time_zone", "America/Cayenne"],
        ["--retry_failed"],
        ["--hop_s", "0.5"],
        ["--plan"],
        ["--direct_num_workers=1"],
        ["--input", "/nowhere"],
    ],
)
def test_whatever_asks_for_more_takes_a_job(
    flags: list[str], rerun: Callable[..., int | None]
) -> None:
    assert rerun(*flags) is None


@pytest.mark.slow
def test_a_new_a_changed_and_no_longer_a_transient_failure_take_a_job(
    night: Path, tmp_path: Path, rerun: Callable[..., int | None]
) -> None:
    config = config_of(night, tmp_path)
    other = tmp_path / "more"
    nights.write_recording(other / "new.wav", 1)
    more = replace(config, inputs=(*config.inputs, str(other)))
    assert done_already(run_of(more)) is None
    changed = tmp_path / "changed"
    shutil.copytree(night / "archive", changed)
    name = night / "archive" / "b.wav"
    content, status = name.read_bytes(), name.stat()
    try:
        name.write_bytes(content[:-2])
        assert rerun() is None
    finally:
        name.write_bytes(content)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert rerun() == 0


@pytest.mark.slow
def test_a_page_that_is_missing_or_older_than_the_tables_takes_a_job(
    night: Path, tmp_path: Path, rerun: Callable[..., int | None]
) -> None:
    output = tmp_path / "night" / "out"
    config = replace(config_of(night, tmp_path), report=True)
    assert done_already(run_of(config)) is None
    page = output / "report.html"
    page.write_text("a page")
    assert done_already(run_of(config)) == 0
    os.utime(page, (0, 0))
    assert done_already(run_of(config)) is None
    assert rerun() is None  # a page that is not asked for


@pytest.mark.slow
def test_neither_beam_nor_tensorflow_is_loaded(night: Path, tmp_path: Path) -> None:
    shutil.copytree(night / "out", tmp_path / "out")
    script = (
        "import sys; from pipeline.__main__ import main; code = main(sys.argv[1:]); "
        "print(code, sorted({'apache_beam', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    )
    flags = arguments(night, tmp_path / "out", "--no_report")
    done = subprocess.run(
        [sys.executable, "-c", script, *flags], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


@pytest.mark.slow
def test_rescoring_says_what_changed_also_on_the_way_back(
    night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    shutil.copytree(night / "out", output)
    before = tree(output)
    flags = ["rescore", "--output", str(output), "--model", str(night / "model")]
    assert main([*flags, "--threshold", "0.999"]) == 0
    first, others = capsys.readouterr().out.splitlines()
    assert "threshold 0.999" in first
    assert "0 calls, before 2; the count of 1 of 3 recordings changed" in first
    assert others.startswith("1 stay as they were: failed")
    assert main(flags) == 0
    assert "2 calls, before 0; the count of 1 of 3 recordings changed" in capsys.readouterr().out
    back = {name: content for name, content in tree(output).items() if "ledger" not in name}
    assert back == {name: before[name] for name in back}  # every format, byte for byte


@pytest.mark.slow
def test_formats_that_lie_there_are_kept_up_to_date(night: Path, tmp_path: Path) -> None:
    """Asked for once, each has every recording that counts.csv has, until its files are removed."""
    folder = tmp_path / "night"
    shutil.copytree(night, folder, copy_function=shutil.copy2)
    nights.write_recording(folder / "archive" / "late.wav", 1)
    shutil.rmtree(folder / "out" / "raven")
    (folder / "out" / "raven.selection.table.txt").unlink()
    plain = [word for word in arguments(folder, folder / "out") if word not in ALL_FORMATS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
        moved = ("--moved", f"{night}/archive={folder}/archive")
        assert nights.launch_here(*plain, *moved) == 0
    for name in ("tutorial.csv", "excel/calls.csv", "kaleidoscope.csv"):
        assert "late.wav" in (folder / "out" / name).read_text("utf-8"), name
    assert any("late" in path.name for path in (folder / "out" / "audacity").rglob("*"))
    assert not (folder / "out" / "raven").exists()
    assert formats_in(str(folder / "out")) == tuple(n for n in FORMATS if n != "raven")


def test_a_folder_that_no_run_has_written_holds_no_formats(tmp_path: Path) -> None:
    (tmp_path / "raven").mkdir()
    (tmp_path / "raven" / "mine.txt").write_text("")
    assert formats_in(str(tmp_path)) == formats_in("/dev/null/x") == ()
