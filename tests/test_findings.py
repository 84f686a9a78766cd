"""docs/findings.md: its commands as they stand, from the forest recordings to what is published."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pandas
import pytest
import soundfile
from dwca.read import DwCAReader

from pipeline.tables.read import read_verified
from tests.forest_labels import label_clips
from tests.test_first_day import DAY, Shell, clone, shell  # noqa: F401  (fixtures)
from tests.test_formats import read_alike
from tests.test_histories import in_r, vignette
from tests.test_publication import problems, rows_of

FINDINGS = DAY.with_name("findings.md")
TERMS = "http://rs.tdwg.org/dwc/terms/"
SITES = ["Saül", "Crique Nouragues", "Kaw", "Trésor"]

pytestmark = pytest.mark.slow


def blocks(page: Path) -> list[str]:
    return re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def season(
    tmp_path_factory: pytest.TempPathFactory,
    forest: Path,
    clone: Path,  # noqa: F811
    shell: Shell,  # noqa: F811
) -> tuple[Path, str]:
    """The folder in which all commands ran, and what they printed."""
    shell(clone, blocks(DAY)[0])  # capuchinbird, as the first day makes it
    folder = tmp_path_factory.mktemp("une saison")
    (folder / "forest").symlink_to(forest)
    printed = ""
    for block in blocks(FINDINGS):
        printed += shell(folder, block)
        if "capuchinbird review" in block:  # somebody listens
            clips = folder / "results/review/clips.csv"
            labels = label_clips(clips, forest / "annotations.csv")
            (folder / "labels.csv").write_text(labels, "utf-8")
    return folder, printed


def test_what_the_commands_say(season: tuple[Path, str]) -> None:
    _, printed = season
    assert "40 recordings" in printed
    assert "120 clips, seed 0: open results/review/review.html" in printed
    assert re.search(r"annotated.csv: 17 recordings; \d+ calls confirmed", printed)
    assert "4 sites × 10 nights; recorded in 40" in printed
    assert "4 deployments, 40 recordings, 91 calls (91 confirmed by people)" in printed
    assert "4 recorders, 0 with warnings" in printed


def test_the_page_shows_what_verify_says(season: tuple[Path, str]) -> None:
    _, printed = season
    shown = re.findall(r"```\n(site .*?)```", FINDINGS.read_text("utf-8"), flags=re.DOTALL)
    (table,) = shown
    assert len(table.splitlines()) == 1 + 1 + len(SITES) + 1
    assert table in printed


def test_verified_counts_hold_the_truth(season: tuple[Path, str], forest: Path) -> None:
    overall, *sites = read_verified(str(season[0] / "results"))
    assert overall.labelled == 120
    assert overall.verified_low <= 91 <= overall.verified_high  # as annotated
    assert overall.verified_high - overall.verified_low < 20
    assert overall.precision_low is not None
    assert overall.precision_low > 0.85
    assert [row.site for row in sites] == sorted(SITES)
    with (forest / "annotations.csv").open(encoding="utf-8") as file:
        annotated = [row["recording"] for row in csv.DictReader(file)]
    names = sorted(path.name for path in (forest / "recordings").glob("*.mp3"))
    for row in sites:
        truth = sum(SITES[names.index(name) % 4] == row.site for name in annotated)
        assert row.verified_low <= truth <= row.verified_high
    report = (season[0] / "results/report.html").read_text("utf-8")
    assert "Verified by ear" in report


def test_others_read_every_table(season: tuple[Path, str]) -> None:
    folder, _ = season
    apart = {"forest", "ledger"}
    tables = [path for path in folder.rglob("*.csv") if not apart & set(path.parts)]
    names = {path.name for path in tables}
    assert {"labels.csv", "annotated.csv", "verified.csv", "recorders.csv", "clips.csv"} <= names
    assert {"history.csv", "sites.csv", "deployments.csv", "observations.csv"} <= names
    for path in tables:
        if path.name != "survey.csv":  # the one that we wrote by hand
            assert read_alike(path) > 0 or path.name == "failures.csv", path
    for path in (folder / "results/scores").rglob("*.parquet"):
        assert len(pandas.read_parquet(path)) > 0
    assert len(pandas.read_parquet(folder / "histories/history.parquet")) == 40


def test_frictionless_accepts_the_package(season: tuple[Path, str]) -> None:
    package = season[0] / "published" / "camtrap_dp"
    assert problems(package) == []
    assert len(rows_of(package, "media")) == 40
    observations = rows_of(package, "observations")
    assert {row["classificationMethod"] for row in observations} == {"human"}
    assert len(observations) == 91  # every annotated call, those that the model missed too


def test_the_archive_opens(season: tuple[Path, str]) -> None:
    with DwCAReader(season[0] / "published" / "darwin_core.zip") as archive:
        rows = list(archive)
        types = Counter(line.rowtype for row in rows for line in row.extensions)
    assert len(rows) == 4 + 40
    assert types == {f"{TERMS}Occurrence": 91, "http://rs.tdwg.org/eco/terms/Event": 4 + 40}
    nights = [row for row in rows if row.data[f"{TERMS}eventType"] == "Night"]
    (protocol,) = {row.data[f"{TERMS}samplingProtocol"] for row in nights}
    assert re.match(r"passive acoustic monitoring; calls found by model \S+ at threshold", protocol)
    hours = sum(float(row.data[f"{TERMS}sampleSizeValue"]) for row in nights)
    assert hours == pytest.approx(40 * 0.05, abs=0.02)


def test_histories_agree_with_the_annotations(season: tuple[Path, str], forest: Path) -> None:
    folder, _ = season
    with (forest / "annotations.csv").open(encoding="utf-8") as file:
        annotated = [row["recording"] for row in csv.DictReader(file)]
    names = sorted(path.name for path in (forest / "recordings").glob("*.mp3"))
    verified = pandas.read_csv(folder / "histories" / "verified.csv", index_col="site")
    assert verified.shape == (4, 10)
    # Nobody listened to recordings without annotations: their calls, if any, stay unconfirmed.
    assert int((verified == 1).to_numpy().sum()) == len(set(annotated))
    for n, name in enumerate(names):
        if name in annotated:
            assert verified.loc[SITES[n % 4]].iloc[n // 4] == 1


def test_r_reads_these_histories(season: tuple[Path, str]) -> None:
    printed = in_r(vignette("r")[0], season[0])
    assert "sites: 4, visits: 10, NA: 0" in printed


def test_clips_lie_in_a_folder_for_each_site(season: tuple[Path, str]) -> None:
    clips = season[0] / "clips"
    paths = sorted(clips.rglob("*.flac"))
    assert paths
    assert len(paths) <= 4 * 5
    assert {path.parent.name for path in paths} <= set(SITES)
    assert {soundfile.info(path).samplerate for path in paths} == {48_000}
    with (clips / "clips.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(paths)
