"""Each transform alone, strictly."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from model.audio.mp3 import Mp3Stream, Mp3Way
from model.audio.quality import NOTHING
from model.audio.recording import Recording
from model.calls import CountingRule
from model.voice import Voice
from model.windows import ONSETS, window_starts, windows_every
from pipeline.inference.count import Counting
from pipeline.inference.decode import plan_segments, read_header, with_whom
from pipeline.inference.score import score_segment
from pipeline.inference.transforms import (
    FAILURES,
    HEADERS,
    PLANS,
    CountCalls,
    DecodeSegments,
    ProbeRecordings,
    ScoreSegments,
    SegmentHandler,
)
from pipeline.inputs.transforms import MatchRecordings
from pipeline.inputs.versions import content_checksum, with_version
from pipeline.records import (
    Fact,
    Failure,
    Listed,
    RecordingHeader,
    SegmentAudio,
    SegmentPlan,
    SegmentScores,
)
from tests.conftest import Recordings
from tests.fakes import (
    EVIDENCE,
    PeakScorer,
    cut_windows,
    load_broken,
    origin,
    peak_handler,
    row_and_calls,
)

RULE = CountingRule(threshold=0.5, smoothing_s=0, min_separation_s=2)
GRID = windows_every(16_000)
COUNTING = Counting("calls", RULE, 16_000, GRID, "bird", "peak-1", "run")


def pipeline() -> beam.Pipeline:
    return TestPipeline(runner=FnApiRunner())


def test_match_names_each_recording_once(recordings: Recordings, tmp_path: Path) -> None:
    folder, truth = recordings
    manifest = tmp_path / "list.txt"
    manifest.write_text(f"{folder}/a.wav\n{folder}/gone.wav\n")
    with pipeline() as root:
        found, others = root | MatchRecordings((str(folder), f"{folder}/./*.wav"), (str(manifest),))
        assert_that(others, equal_to([("._*", 1), (".txt", 1)]), "others")
        names = found | beam.Map(lambda listed: listed.recording)
        assert_that(names, equal_to([*truth, f"{folder}/gone.wav"]))


def test_probe_gives_a_header_or_a_reason(recordings: Recordings) -> None:
    folder, _ = recordings
    names = [f"{folder}/a.wav", f"{folder}/broken.flac"]
    with pipeline() as root:
        probed = (
            root
            | beam.Create([Listed(name, size=10**9) for name in names])
            | ProbeRecordings(GRID, 160_000)
        )
        header = RecordingHeader(48_000, 2, "WAV PCM_16", 31.7, 507_200, 3)
        header = replace(header, checksum=content_checksum(names[0]))
        assert_that(probed.headers, equal_to([(names[0], header)]), "headers")
        assert_that(
            probed[FAILURES] | beam.MapTuple(lambda name, f: (name, f.step, name in f.error)),
            equal_to([(names[1], "open", True)]),
            "failures",
        )


@pytest.mark.parametrize("segment_samples", [1, 16_000, 112_000, 10**9])
@pytest.mark.parametrize("hop", [8_000, 16_000, 48_000, 31_111])
def test_segments_share_out_each_window_once(
    recordings: Recordings, segment_samples: int, hop: int
) -> None:
    folder, _ = recordings
    name = f"{folder}/a.wav"
    grid = windows_every(hop)
    header = read_header(Listed(name), grid, segment_samples)
    plans = list(plan_segments(Listed(name), header, grid, segment_samples))
    assert len(plans) == header.n_segments
    windows = [p.first_input + k for p in plans for k in range(p.n_inputs)]
    assert windows == list(range(len(window_starts(header.n_samples, hop))))
    assert sum(p.share for p in plans) == pytest.approx(1)


def test_decode_gives_audio_or_a_reason(recordings: Recordings) -> None:
    folder, _ = recordings
    good = SegmentPlan(f"{folder}/a.wav", 5, 3, 507_200, 0.1, origin(f"{folder}/a.wav"))
    gone = SegmentPlan(f"{folder}/gone.wav", 0, 1, 48_000, 1.0, origin(f"{folder}/gone.wav"))
    with Recording(good.recording) as recording:
        expected = recording.read(5 * 16_000, 80_000).samples

    def same(found: Any) -> None:
        [(name, audio)] = found
        assert name == good.recording
        assert audio.first_sample == 80_000
        assert list(audio.starts) == [80_000, 96_000, 112_000]
        assert np.array_equal(audio.samples, expected)
        assert audio.decoded_samples == 48_000  # the rest belongs to the next segment

    with pipeline() as root:
        decoded = root | beam.Create([good, gone]) | DecodeSegments(GRID, 160_000)
        assert_that(decoded.audio, same, "audio")
        assert_that(
            decoded[FAILURES] | beam.MapTuple(lambda name, f: (name, f.step)),
            equal_to([(gone.recording, "decode")]),
            "failures",
        )


def segment_audio(n_samples: int = 100_000, first: int = 32_000) -> SegmentAudio:
    samples = np.random.default_rng(1).normal(0, 0.1, n_samples).astype(np.float32)
    starts = window_starts(n_samples, 16_000) + first
    return SegmentAudio(first, starts, starts, samples, n_samples, NOTHING, origin())


def test_score_keeps_the_key_and_drops_the_audio() -> None:
    audio = segment_audio()
    expected = PeakScorer().score(cut_windows(audio.samples, audio.starts - 32_000))

    def same(found: Any) -> None:
        [(name, scores)] = found
        assert name == "a.wav"
        assert np.array_equal(scores.starts, audio.starts)
        assert np.array_equal(scores.scores, expected)
        assert not hasattr(scores, "samples")

    with pipeline() as root:
        assert_that(root | beam.Create([("a.wav", audio)]) | ScoreSegments(peak_handler()), same)


def test_no_audio_is_encoded_to_learn_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = TestPipeline() | beam.Create([]) | DecodeSegments(GRID, 160_000)
    coder = beam.coders.registry.get_coder(plans.audio.element_type)
    batch = beam.coders.registry.get_coder(beam.typehints.List[plans.audio.element_type])
    audio = segment_audio()
    nearly = range(audio.samples.nbytes, audio.samples.nbytes + 100)

    def refuse(_: object) -> bytes:
        raise AssertionError("pickled")

    monkeypatch.setattr("pickle.dumps", refuse)
    assert coder.estimate_size(("forest.wav", audio)) in nearly
    assert batch.estimate_size([("forest.wav", audio)]) in nearly
    monkeypatch.undo()
    _, back = coder.decode(coder.encode(("forest.wav", audio)))
    assert np.array_equal(back.samples, audio.samples)


def test_a_process_that_loads_the_model_gives_memory_back_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    loads = "pipeline.inference.transforms.give_memory_back"
    monkeypatch.setattr(loads, lambda: done.append("memory"))

    def load() -> PeakScorer:
        done.append("model")
        return PeakScorer()

    SegmentHandler(load, GRID, "end").load_model()
    assert done == ["memory", "model"]


def test_a_segment_that_cannot_be_scored_is_a_failure_of_its_recording_alone() -> None:
    handler = SegmentHandler(load_broken, GRID, "end")
    failure = Failure("score", "RuntimeError: the network is out of order")
    with pipeline() as root:
        found = root | beam.Create([("a.wav", segment_audio())]) | ScoreSegments(handler)
        assert_that(found, equal_to([("a.wav", failure)]))


def test_a_long_segment_is_scored_a_few_windows_at_a_time() -> None:
    audio = segment_audio(n_samples=3_000_000, first=0)

    class Watched(PeakScorer):
        most = 0

        def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            Watched.most = max(Watched.most, len(windows))
            return super().score(windows)

    scores = score_segment(audio, Watched(), GRID, "end")
    assert len(scores.scores) == len(audio.starts) > 100
    assert Watched.most <= 64


HEADER = RecordingHeader(48_000, 2, "WAV PCM_16", 12.0, 192_000, 2)


def scores_of(values: Sequence[float], first: int = 0, heard: int = 96_000) -> SegmentScores:
    starts = (np.arange(len(values)) + first) * 16_000
    return SegmentScores(starts, np.array(values, np.float32), heard, NOTHING, origin())


def test_count_does_not_depend_on_the_order_of_the_evidence() -> None:
    parts: list[Fact] = [
        HEADER,
        scores_of([0, 0.9, 0.4, 0, 0]),
        scores_of([0, 0, 0.6, 0, 0], first=5),
    ]
    rows = {row_and_calls("a.wav", order, COUNTING) for order in (parts, parts[::-1])}
    [(row, calls)] = rows
    assert (row.outcome, row.call_count, row.positive_windows, row.windows) == ("ok", 2, 2, 10)
    assert row.max_score == pytest.approx(0.9)
    assert row.heard_s == row.duration_s == 12
    assert [c.end_s - c.start_s for c in calls] == pytest.approx([3, 3])
    assert [c.windows for c in calls] == [1, 1]
    assert [c.start_s for c in calls] == pytest.approx([(0.9 + 2 * 0.4) / 1.3, 7], abs=1e-6)
    assert row.expected_calls is None  # the rule does not say what peaks are like


def test_a_call_has_the_voice_of_its_onset() -> None:
    values = np.zeros(90, np.float32)
    values[[30, 60]] = 0.9, 0.95
    voice = Voice(-30.0, 12.0, 133.5, 0.2, 2.0)
    starts = np.arange(90) * ONSETS.step_samples
    segment = SegmentScores(
        starts, values, 192_000, NOTHING, origin(), voices=((60 * ONSETS.step_samples, voice),)
    )
    rule = replace(RULE, score_s=0.128, smoothing_s=0.0, min_separation_s=0.9)
    counting = replace(COUNTING, rule=rule, grid=ONSETS)
    header = replace(HEADER, n_segments=1)
    _, (first, second) = row_and_calls("a.wav", [header, segment], counting)
    assert (first.spacing_hz, first.since_last_s) == (None, None)
    assert (second.level_dbfs, second.above_background_db) == (-30, 12)
    assert (second.spacing_hz, second.spacing_error_hz, second.moo_s) == (133.5, 0.2, 2.0)
    assert second.since_last_s == pytest.approx(30 * 0.128)


@pytest.mark.parametrize(
    ("threshold", "flag"), [(0.9, ""), (0.02, "fewer_expected"), (0.99999, "more_expected")]
)
def test_a_count_outside_its_interval_is_flagged(threshold: float, flag: str) -> None:
    values = [0.0001] * 60
    values[5::10] = [0.995] * 6
    values[10::10] = [0.03] * 5
    header = replace(HEADER, duration_s=62.0, n_samples=992_000, n_segments=1)
    counting = replace(COUNTING, rule=replace(RULE, threshold=threshold, evidence=EVIDENCE))
    row, _ = row_and_calls("a.wav", [header, scores_of(values, heard=992_000)], counting)
    assert (row.expected_low, row.expected_high) == (6, 6)
    assert row.expected_calls == pytest.approx(6, abs=0.2)
    assert row.quality_flags == flag


@pytest.mark.parametrize(
    ("evidence", "outcome", "error"),
    [
        ([HEADER, scores_of([0]), scores_of([0], 1)], "no_calls", ""),
        ([HEADER, scores_of([0.9]), scores_of([0], 1, 0)], "truncated", "6.0 s of 12.0 s"),
        ([HEADER, scores_of([0.9])], "failed", "only 1 of 2 segments"),
        ([HEADER, scores_of([0.9]), Failure("decode", "a.wav: worn out")], "failed", "decode: a"),
        ([Failure("open", "a.wav: is empty")], "failed", "open: a.wav: is empty"),
        ([HEADER, scores_of([], 0, 0), scores_of([], 0, 0)], "failed", "nothing in it"),
        ([scores_of([0.9])], "failed", "unknown segments"),
    ],
)
def test_every_input_has_exactly_one_outcome(
    evidence: list[Fact], outcome: str, error: str
) -> None:
    row, calls = row_and_calls("a.wav", evidence, COUNTING)
    assert row.outcome == outcome
    assert error in row.error
    assert bool(row.error) == bool(error)
    if outcome == "failed":
        assert calls == ()
        assert row.call_count is row.windows is row.heard_s is None
    else:
        assert row.call_count == len(calls)


def test_counting_windows_adds_up_what_the_tutorial_adds_up() -> None:
    counting = Counting("windows", RULE, 16_000, GRID, "bird", "peak-1", "run")
    row, calls = row_and_calls(
        "a.wav", [HEADER, scores_of([0, 0.9, 0.5, 0.49]), scores_of([0.7], 9)], counting
    )
    assert row.call_count == row.positive_windows == 3 == len(calls)
    assert [c.start_s for c in calls] == [1, 2, 9]
    assert calls[-1].end_s == 12


def test_count_groups_by_recording() -> None:
    evidence: list[tuple[str, Fact]] = [
        ("a.wav", HEADER),
        ("b.wav", Failure("open", "b.wav: is empty")),
        ("a.wav", scores_of([0.9])),
        ("a.wav", scores_of([0.9], 9)),
    ]
    rows = [row_and_calls("a.wav", [e for k, e in evidence if k == "a.wav"], COUNTING)]
    rows.append(row_and_calls("b.wav", [evidence[1][1]], COUNTING))
    with pipeline() as root:
        counted = root | beam.Create(evidence) | CountCalls(COUNTING)
        assert_that(counted | beam.Map(lambda one: (one.row, one.calls)), equal_to(rows))


def test_decoding_a_header_only_file_is_a_failure(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 2)), 44_100)
    with pipeline() as root:
        listed = Listed(str(tmp_path / "empty.wav"))
        probed = root | beam.Create([listed]) | DecodeSegments(GRID, 1)
        assert_that(
            probed[FAILURES] | beam.MapTuple(lambda _, f: "holds no audio" in f.error),
            equal_to([True]),
        )


def test_a_small_recording_is_opened_once(recordings: Recordings, tmp_path: Path) -> None:
    """By who decodes it: probing passes it on as it is."""
    folder, _ = recordings
    names = [f"{folder}/a.wav", f"{folder}/broken.flac"]
    small = [with_version(Listed(name)) for name in names]
    with pipeline() as root:
        probed = root | beam.Create(small) | ProbeRecordings(GRID, 160_000)
        assert_that(probed[PLANS], equal_to(small), "passed on")
        decoded = probed[PLANS] | DecodeSegments(GRID, 160_000)
        header = RecordingHeader(48_000, 2, "WAV PCM_16", 31.7, 507_200, 3)
        header = replace(header, checksum=content_checksum(names[0]))
        assert_that(decoded[HEADERS], equal_to([(names[0], header)]), "headers")
        starts = decoded.audio | beam.MapTuple(lambda name, audio: (name, audio.first_sample))
        assert_that(starts, equal_to([(names[0], k * 160_000) for k in range(3)]), "audio")
        failures = decoded[FAILURES] | beam.MapTuple(lambda name, failed: (name, failed.step))
        assert_that(failures, equal_to([(names[1], "open")]), "failures")


def test_steps_tell_how_long_they_took_and_what_failed(
    recordings: Recordings, caplog: pytest.LogCaptureFixture
) -> None:
    folder, _ = recordings
    names = [f"{folder}/a.wav", f"{folder}/broken.flac"]
    root = pipeline()
    work = root | beam.Create([with_version(Listed(name)) for name in names])
    decoded = work | DecodeSegments(GRID, 160_000)
    broken = SegmentHandler(load_broken, GRID, "end")
    _ = decoded.audio | "Good" >> ScoreSegments(peak_handler())
    _ = decoded.audio | "Broken" >> ScoreSegments(broken)
    result = root.run()
    result.wait_until_finish()
    metrics = result.metrics().query()
    counters = {(c.key.metric.namespace, c.key.metric.name): c.result for c in metrics["counters"]}
    assert counters["failures", "open AudioError"] == 1
    assert counters["failures", "score RuntimeError"] == 3
    spread = {d.key.metric.name: d.result for d in metrics["distributions"]}
    assert (spread["decode_ms"].count, spread["score_ms"].count) == (3, 3)
    assert "Traceback" not in caplog.text


def test_segments_that_need_what_is_before_them_go_to_one_worker() -> None:
    def keys(encoding: str, way: Mp3Way | None = None) -> int:
        header = RecordingHeader(48_000, 2, encoding, 1000.0, 16_000_000, 9)
        plans = plan_segments(Listed("a"), header, GRID, 1_600_000, way)
        return len({with_whom(plan) for plan in plans})

    assert keys("MOV AAC") == keys("MP3 MPEG_LAYER_III") == 1
    assert keys("WAV PCM_16") == keys("FLAC PCM_16") == keys("OGG VORBIS") == 10
    assert keys("MP3 MPEG_LAYER_III", Mp3Way(Mp3Stream(0xFFFB9064, 0))) == 10
