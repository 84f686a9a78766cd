"""From a run to a sample of clips, and from labels to figures; nothing is scored again."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.audio.isolated import IsolatedRecording
from model.calls import CountingRule, log_odds, probabilities
from pipeline.__main__ import main
from pipeline.records import DetectedCall, RecordingCount
from pipeline.review.density import Curve
from pipeline.review.frame import Frame, each_recording, read_frame
from pipeline.review.sample import Stratum, draw_sample, strata_of
from pipeline.review.units import (
    CALL,
    FAINT,
    KINDS,
    N_LEVELS,
    REST,
    log_odds_of_level,
    units_of,
)
from pipeline.review.verify import threshold_for
from pipeline.storage import files
from pipeline.survey.labels import Label, label_lines
from pipeline.tables.read import WindowScores, read_results, read_verified
from tests.fixed_run import run_in, write_recording

pytestmark = pytest.mark.usefixtures("plain_loop")

RATE = 16_000
RULE = CountingRule(0.9, 0.128, 0.0, 0.6, 1.49, 2.38)


def row(duration_s: float, counting: str = "calls") -> RecordingCount:
    return RecordingCount(
        recording="a.wav", outcome="ok", duration_s=duration_s, heard_s=duration_s,
        counting=counting, threshold=0.9, hop_s=1.25, model_version="m", run_id="r",
        schema_version=2,
    )  # fmt: skip


def call(start_s: float, end_s: float, score: float = 0.95) -> DetectedCall:
    return DetectedCall(
        recording="a.wav", start_s=start_s, end_s=end_s, score=score, windows=1, label="x",
        model_version="m", run_id="r", schema_version=2,
    )  # fmt: skip


def steps(duration_s: float, peaks: dict[float, float]) -> WindowScores:
    starts_s = np.arange(0, duration_s, 0.128)
    scores = np.full(len(starts_s), 1e-4, np.float32)
    for at_s, score in peaks.items():
        scores[round(at_s / 0.128)] = score
    return WindowScores(starts_s, scores, 0.128)


@given(
    duration_s=st.floats(1, 120),
    peaks=st.dictionaries(st.floats(0, 119), st.floats(0.01, 0.99), max_size=30),
    lost=st.booleans(),
)
def test_units_lie_side_by_side_and_cover_what_was_scored(
    duration_s: float, peaks: dict[float, float], lost: bool
) -> None:
    inside = {at: score for at, score in peaks.items() if at < duration_s - 0.2}
    scores = steps(duration_s, inside)
    if lost:  # nothing of the second ten seconds could be decoded
        kept = (scores.starts_s < 10) | (scores.starts_s >= 20)
        scores = replace(scores, starts_s=scores.starts_s[kept], scores=scores.scores[kept])
    calls = [
        call(max(0.0, at - 1.49), min(duration_s, at + 2.38), score)
        for at, score in inside.items()
        if score >= 0.9
    ]
    units = units_of(row(duration_s), calls, scores, RULE)
    assert np.count_nonzero(units.kinds == CALL) == len(calls)
    owners = np.zeros(round(duration_s / 0.05) + 2)
    for kind, start_s, end_s in zip(units.kinds, units.starts_s, units.ends_s, strict=True):
        assert 0 <= start_s < end_s <= duration_s + 0.11
        if kind != CALL:
            owners[round(start_s / 0.05) + 1 : round(end_s / 0.05) - 1] += 1
        if kind == FAINT:
            assert end_s - start_s == pytest.approx(3.87)
        if kind == REST:
            assert 0.9 < end_s - start_s <= 3.01
    assert owners.max(initial=0) <= 1
    for one in calls:
        assert not owners[round(one.start_s / 0.05) + 1 : round(one.end_s / 0.05) - 1].any()
    # What nobody owns is lost, under a call, or in gaps too short to ask about.
    missing_s = 0.05 * np.count_nonzero(owners[1:-1] == 0)
    pieces = len(units.kinds) + 2
    calls_s = sum(one.end_s - one.start_s for one in calls)
    assert missing_s <= calls_s + 1.2 * pieces + (10 if lost else 0) + 0.2


def test_the_stronger_of_two_near_candidates_is_one() -> None:
    scores = steps(60, {10.0: 0.95, 20.0: 0.5, 22.0: 0.7, 40.0: 0.3})
    units = units_of(row(60), [call(8.5, 12.4)], scores, RULE)
    faint = units.kinds == FAINT
    middles = sorted(units.starts_s[faint] + RULE.before_s)
    assert middles == pytest.approx([22.0, 40.0], abs=0.15)
    rest = (units.kinds == REST) & (units.levels > 0)
    assert np.count_nonzero(rest) == 0 or units.levels[rest].max() < units.levels[faint].max()


def test_windows_are_candidates_where_windows_are_counted() -> None:
    scores = WindowScores(np.arange(0, 30, 3.0), np.full(10, 0.3, np.float32), 3.0)
    rule = CountingRule(0.9)
    units = units_of(row(30, "windows"), [], scores, rule)
    assert np.count_nonzero(units.kinds == FAINT) == 10


@given(
    kind=st.sampled_from(range(3)),
    edges=st.sets(st.integers(0, N_LEVELS), min_size=2, max_size=2),
)
def test_a_bin_is_known_by_its_name(kind: int, edges: set[int]) -> None:
    bin_ = Stratum(kind, min(edges), max(edges))
    assert Stratum.from_name(bin_.name) == bin_


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, N_LEVELS - 1)), min_size=1))
def test_bins_part_all_units(units: list[tuple[int, int]]) -> None:
    counts = np.zeros((len(KINDS), N_LEVELS), np.int64)
    for at in units:
        counts[at] += 1
    strata = strata_of(Frame({"": counts}, {}, 1, 0))
    assert sum(bin_.count(counts) for bin_ in strata) == len(units)
    assert all(bin_.count(counts) for bin_ in strata)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two sites; one recording has gone since."""
    folder = tmp_path_factory.mktemp("night")
    loud = {20.0 + 12 * n: 0.6 + 0.05 * n for n in range(8)}
    write_recording(folder / "ridge/loud.wav", 140, loud)
    write_recording(folder / "ridge/faint.wav", 100, {40: 0.42, 60: 0.3, 80: 0.2})
    write_recording(folder / "creek/quiet, very.wav", 60, {30: 0.45})
    write_recording(folder / "creek/gone.wav", 60, {30: 0.95})
    sites = "folder,site\nridge,Ridge\ncreek,Crique É\n"
    (folder / "sites.csv").write_text(sites, encoding="utf-8")
    run_in(folder, ["--input", "ridge", "creek", "--deployments", "sites.csv"])
    (folder / "creek/gone.wav").unlink()
    return folder


@pytest.mark.slow
def test_every_kept_score_is_read_once(night: Path) -> None:
    out = str(night / "out")
    results = read_results(out)
    found = {row.recording: units for row, units in each_recording(out, results)}
    assert found.keys() == {row.recording for row in results.recordings}
    frame = read_frame(out, results)
    assert frame.without_scores == 0
    assert frame.units.keys() == {"Ridge", "Crique É"}
    n_calls = sum(int(units[CALL].sum()) for units in frame.units.values())
    assert n_calls == len(results.calls) == 9
    assert frame.recorded_s["Ridge"] == pytest.approx(240, abs=1)


@pytest.mark.slow
def test_a_sample_is_drawn_over_kinds_and_sites_and_again_the_same(night: Path) -> None:
    out = str(night / "out")
    results = read_results(out)
    frame = read_frame(out, results)
    sample = draw_sample(out, results, frame, 24, 3)
    assert len(sample.clips) == 24
    assert len({(c.recording, c.start_s) for c in sample.clips}) == 24
    kinds = Counter(clip.stratum.split()[0] for clip in sample.clips)
    assert set(kinds) == set(KINDS)
    assert {clip.site for clip in sample.clips} == {"Ridge", "Crique É"}
    first = [clip.stratum for clip in sample.clips[: len(sample.strata)]]
    assert len(set(first)) == len(sample.strata)  # one of each bin in turn
    assert draw_sample(out, results, frame, 24, 3) == sample
    assert draw_sample(out, results, frame, 24, 4).clips != sample.clips
    everything = draw_sample(out, results, frame, 10**6, 0)
    total = sum(int(units.sum()) for units in frame.units.values())
    assert len(everything.clips) == total


@pytest.fixture
def decoded_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lengths of all that is decoded, in seconds."""
    lengths: list[float] = []
    read = IsolatedRecording.read

    def noted(
        self: IsolatedRecording, start: int, n_samples: int, measured: range = range(0)
    ) -> object:
        lengths.append(n_samples / RATE)
        return read(self, start, n_samples, measured)

    monkeypatch.setattr(IsolatedRecording, "read", noted)
    return lengths


@pytest.mark.slow
def test_the_command_scores_nothing_and_decodes_only_its_clips(
    night: Path,
    decoded_s: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(night)
    for name in ("tensorflow", "keras", "apache_beam", "model.network", "model.export"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it is now an error
    folder = tmp_path / "review"
    assert main(["review", "out", "--output", str(folder), "--clips", "20", "--seed", "1"]) == 0
    said = capsys.readouterr()
    assert "gone.wav" in said.err
    n_gone = said.err.count("skipped: ")
    assert f"{20 - n_gone} clips, seed 1: open {folder}/review.html" in said.out
    assert len(decoded_s) == 20 - n_gone
    assert max(decoded_s) < 8
    html = (folder / "review.html").read_text("utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html)
    data = json.loads(found)
    rows = list(csv.DictReader(io.StringIO((folder / "clips.csv").read_text("utf-8"))))
    assert [
        dict(zip(data["columns"], clip["cells"], strict=True)) for clip in data["clips"]
    ] == rows
    for clip in data["clips"]:
        assert clip["begin"] <= clip["start"] < clip["stop"] <= clip["end"] + 0.11
        assert clip["picture"].startswith("data:image/jpeg;base64,")
        assert clip["sound"].startswith("data:audio/mpeg;base64,")
    assert "default-src 'none'" in html
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.review.page.picture_call", lambda *_: files.read_bytes("gone"))
    assert main(["review", str(night / "out"), "--output", "empty", "--clips", "3"]) == 2
    assert "none of its recordings can be read from here" in capsys.readouterr().err


LABEL = Label(
    recording="a.wav", start_s=1.0, end_s=4.0, score=0.9, site="É", stratum="rest", label="yes",
    n_birds=2, observer="=Ana", labelled_at="2024-06-12T08:00:00Z",
)  # fmt: skip


def labels_text(labels: list[Label]) -> str:
    return "".join(label_lines(labels))


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def label_all(night: Path, n: int, observer: str, wrong: int = 0) -> str:
    """Labels of a sample by the tones that lie in the recordings; the first few wrongly."""
    out = str(night / "out")
    results = read_results(out)
    sample = draw_sample(out, results, read_frame(out, results), n, 1)
    tones = {
        "ridge/loud.wav": [20.0 + 12 * k for k in range(8)],
        "ridge/faint.wav": [40.0, 60.0],
        "creek/gone.wav": [30.0],
    }
    labels = []
    for index, clip in enumerate(sample.clips):
        middles = [at + 1.5 for at in tones.get(clip.recording, [])]
        is_call = any(clip.start_s <= at < clip.end_s for at in middles)
        if index < wrong:
            is_call = not is_call
        labels.append(
            replace(
                clip,
                label="yes" if is_call else "no",
                observer=observer,
                labelled_at="2024-06-12T08:00:00Z",
            )
        )
    return write(night / f"labels-{observer}.csv", labels_text(labels))


@pytest.mark.slow
def test_labels_become_figures(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(night / "out")
    ana = label_all(night, 100, "Ana")
    assert main(["verify", out, "--labels", ana]) == 0
    said = capsys.readouterr()
    overall, *sites = read_verified(out)
    assert (overall.scope, overall.counted_calls) == ("all", 9)
    assert [(row.scope, row.site) for row in sites] == [("site", "Crique É"), ("site", "Ridge")]
    assert overall.precision_low is not None
    assert overall.precision_low <= 1.0
    assert overall.verified_low <= 11 <= overall.verified_high
    assert overall.recorded_h == pytest.approx(360 / 3600, abs=0.01)
    for row in (overall, *sites):
        assert row.verified_low <= row.verified_calls <= row.verified_high
        assert row.calls_per_h == pytest.approx(row.verified_calls / row.recorded_h, rel=0.06)
    document = json.loads((night / "out/verified.json").read_text("utf-8"))
    assert document["curve"]["applied"] is False
    assert document["curve"]["slope"] > 0
    assert sum(bin_["labelled"] for bin_ in document["bins"]) == overall.labelled
    assert "90 % intervals" in said.out
    before = (night / "out/verified.csv").read_bytes()
    assert main(["verify", out, "--labels", ana]) == 0
    assert (night / "out/verified.csv").read_bytes() == before


def test_the_threshold_in_use_stays_where_no_score_lies_between() -> None:
    units = np.zeros((len(KINDS), N_LEVELS), np.int64)
    units[CALL, 250] = 20
    units[FAINT, 100] = 20  # none of them a call
    curve, yes = Curve(0.0, 1.0), np.array([20.0, 0.0, 0.0])
    strata = [Stratum(kind, 0, N_LEVELS) for kind in range(len(KINDS))]
    edge = float(probabilities(log_odds_of_level(249.5)))
    for used, expected in ((0.6, 0.6), (0.9, 0.9), (0.9999, edge), (0.01, edge)):
        found = threshold_for(0.95, units, curve, yes, strata, used)
        assert found == pytest.approx(expected), used
    assert threshold_for(0.95, units * 0, curve, yes, strata, 0.6) is None


@pytest.mark.slow
def test_two_observers_are_compared(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ana, ben = label_all(night, 60, "Ana"), label_all(night, 60, "Ben", wrong=6)
    out = str(night / "out")
    assert main(["verify", out, "--labels", ana, "--labels", ben]) == 0
    assert re.search(
        r"Ana and Ben agree on 54 of 60 clips: Cohen's kappa 0\.\d\d", capsys.readouterr().out
    )
    (pair,) = json.loads((night / "out/verified.json").read_text("utf-8"))["agreement"]["pairs"]
    assert (pair["clips"], pair["same"]) == (60, 54)


@pytest.mark.slow
def test_labels_of_other_results_are_refused(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(night / "out")
    (unit,) = [c for c in read_results(out).calls if c.recording == "creek/gone.wav"]
    label = replace(
        LABEL, recording=unit.recording, start_s=unit.start_s, end_s=unit.end_s,
        stratum="faint 0.100000-0.500000",
    )  # fmt: skip
    strange = write(night / "strange.csv", labels_text([label]))
    assert main(["verify", out, "--labels", strange]) == 2
    assert "was no counted call when the clips were drawn" in capsys.readouterr().err
    unknown = write(night / "unknown.csv", labels_text([replace(LABEL, recording="x.wav")]))
    assert main(["verify", out, "--labels", unknown]) == 2
    assert "x.wav is labelled but not in" in capsys.readouterr().err
    unsure = labels_text([replace(LABEL, label="unsure", n_birds=None)])
    assert main(["verify", out, "--labels", write(night / "unsure.csv", unsure)]) == 2
    assert "no clip is labelled yes or no" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("label", "answer", "lacks the column label"),
        (",yes,", ",maybe,", "'maybe'"),
        ("rest", "heard in full", "annotations of whole recordings are no random sample"),
    ],
)
def test_wrong_labels_are_refused(
    night: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    recording = read_results(str(night / "out")).recordings[0].recording
    text = labels_text([replace(LABEL, recording=recording)]).replace(old, new, 1)
    name = write(night / "wrong.csv", text)
    assert main(["verify", str(night / "out"), "--labels", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_folder_that_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "counts.csv").write_text("recording\n")
    assert main(["review", str(tmp_path), "--output", str(tmp_path / "review")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("capuchinbird review: ")
    assert "calls.csv" in line
    assert not (tmp_path / "review").exists()


def test_an_old_run_without_scores_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "counts.csv").write_text("recording,outcome,heard_s,threshold\na.wav,ok,9,0.5\n")
    (tmp_path / "calls.csv").write_text("recording,start_s,end_s,score,windows\n")
    assert main(["review", str(tmp_path)]) == 2
    assert "no scores of counted recordings were kept" in capsys.readouterr().err


def test_levels_of_scores_are_those_of_their_log_odds() -> None:
    scores = np.array([0.001, 0.2, 0.5, 0.986, 0.9995])
    from pipeline.review.units import level_of, log_odds_of_level

    assert np.abs(log_odds_of_level(level_of(scores)) - log_odds(scores)).max() <= 1 / 32


@pytest.mark.slow
def test_the_report_shows_verified_figures_beside_the_counted_ones(night: Path) -> None:
    out = str(night / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(night)
        assert main(["review", "out", "--clips", "10"]) == 0
        assert main(["verify", "out", "--labels", label_all(night, 100, "Ana")]) == 0
        assert main(["report", "out"]) == 0
    overall = read_verified(out)[0]
    html = (night / "out/report.html").read_text("utf-8")
    assert "<h2>Verified by ear</h2>" in html
    assert "calls verified by ear" in html
    assert f'<td class="number" data-label="labels">{overall.labelled}</td>' in html
    assert 'href="review/review.html#site=Crique%20%C3%89"' in html
    assert "tables have changed" not in html
    table = (night / "out/verified.csv").read_text("utf-8")
    old = table.replace(overall.run_id, "20200101T000000Z-old")
    (night / "out/verified.csv").write_text(old, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(night)
        assert main(["report", "out"]) == 0
    assert "The tables have changed since" in (night / "out/report.html").read_text("utf-8")
