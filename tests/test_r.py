"""What the documentation tells users of R, run in R."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.inputs.deployments import where_and_when_called
from pipeline.records import Place
from pipeline.results.render import all_tables
from pipeline.store.entries import Entry
from tests.test_report import call_at, recording

DOCS = Path(__file__).resolve().parents[1] / "docs"
PACKAGES = "readr", "lubridate", "jsonlite"


@cache
def lacks() -> str:
    """What of R is not installed here."""
    if shutil.which("Rscript") is None:
        return "R (apt-get install r-base-core)"
    script = f"cat(setdiff(c{PACKAGES}, rownames(installed.packages())))"
    done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=True)
    missing = [f"r-cran-{name}" for name in done.stdout.split()]
    return f"packages of R (apt-get install {' '.join(missing)})" if missing else ""


def blocks(name: str) -> list[str]:
    """The pieces of R in a page of the documentation."""
    return re.findall(r"^```r\n(.*?)^```", (DOCS / name).read_text("utf-8"), re.DOTALL | re.M)


def in_r(folder: Path, code: str, ending: str) -> Any:
    """What R says of each expression of ``code``, which are ``values``, in ``ending``."""
    (folder / "code.R").write_text(code, "utf-8")
    script = (
        "expressions <- parse('code.R', encoding = 'UTF-8'); values <- list()\n"
        "for (n in seq_along(expressions)) values[[n]] <- eval(expressions[[n]])\n"
        f"cat(jsonlite::toJSON({ending}, na = 'null', auto_unbox = TRUE))\n"
    )
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", script],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose results hold times, blanks, a name with accents, and a comma in an error."""
    if missing := lacks():
        pytest.skip(f"needs {missing}")
    timed = replace(
        recording("Saül/1.wav", 1, 3600, "2024-06-01T05:00:00", "Saül"),
        recorded_at="2024-06-01T05:00:00-03:00",
    )
    failed = replace(recording("b.wav", None, 0), error="open: b.wav: damaged, copy it again")
    rows = [timed, recording("c.wav", 1, 60), failed]
    calls = [
        replace(call_at(row.recording, 2.5, 5, 0.9), **where_and_when_called(row, 2.5))
        for row in rows[:2]
    ]
    folder = tmp_path_factory.mktemp("r")
    (folder / "results").mkdir()
    about = "1", "", Place(), "settings", "scoring", False, (0,) * 10
    state = {
        row.recording: Entry(
            *(row.recording, 1, *about),
            row,
            tuple(c for c in calls if c.recording == row.recording),
        )
        for row in rows
    }
    for name, content in all_tables(state, ()):
        if content is not None:
            (folder / "results" / name).write_bytes(content)
    return folder


@pytest.mark.slow
def test_times_and_blanks_read_right(results: Path) -> None:
    [code] = blocks("outputs.md")
    text = "format(x, '%Y-%m-%d %H:%M:%OS1 %z')"
    found = in_r(
        results,
        code,
        f"lapply(list(values[[1]]$called_at, values[[1]]$called_local, values[[3]], values[[4]]),"
        f" function(x) {text})",
    )
    utc, unzoned, on_site, from_offset = found
    assert utc == from_offset == ["2024-06-01 08:00:02.5 +0000", None]
    assert unzoned == ["2024-06-01 05:00:02.5 +0000", None]
    assert on_site == ["2024-06-01 05:00:02.5 -0300", None]
    forced = "lubridate::force_tz(calls$called_local, 'America/Cayenne')"
    assert forced.replace("'", '"') in (DOCS / "outputs.md").read_text("utf-8")
    again = in_r(results, code.splitlines()[0], f"{{x <- {forced}; {text}}}")
    assert again == on_site


@pytest.mark.slow
@pytest.mark.parametrize(
    "read", ["readr::read_csv('results/counts.csv', show_col_types = FALSE)", "base"]
)
def test_unknown_counts_are_na_and_numbers_are_numbers(results: Path, read: str) -> None:
    [code] = blocks("outputs.md")
    if read == "base":
        read = code.splitlines()[1].partition("<- ")[2].replace("calls.csv", "counts.csv")
    columns = "list(counts$recording, counts$call_count, counts$site, counts$error)"
    names, counts, sites, errors = in_r(results, f"counts <- {read}", columns)
    assert names == ["Saül/1.wav", "b.wav", "c.wav"]
    assert counts == [1, None, 1]
    assert sites == ["Saül", None, None]
    assert errors == [None, "open: b.wav: damaged, copy it again", None]


@pytest.mark.slow
def test_calls_per_hour_as_on_the_first_day(results: Path) -> None:
    [code] = blocks("first-day.md")
    [row] = in_r(results, code, "by_hour")
    assert row == {
        "site": "Saül",
        "hour": 5,
        "calls": 1,
        "recorded_h": 1.0,
        "calls_per_hour": 1.0,
    }
