"""From the facts of a recording to its row and its calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from model.audio.channels import MIX
from model.audio.layout_base import NO_END, SHORTER
from model.audio.quality import flags
from model.audio.quality import total as sum_of
from model.calls import (
    MOO_S,
    Call,
    CountingRule,
    count_positive_windows,
    estimate_count,
    find_calls,
    log_odds,
    probabilities,
    window_scores,
)
from model.contract import ServingContract
from model.expected import CountEstimate
from model.voice import Voice, onset_step
from model.windows import (
    SAMPLE_RATE_HZ,
    WINDOW_S,
    Grid,
    Padding,
    Samples,
    Starts,
    samples_from_seconds,
    seconds_from_samples,
)
from pipeline.inputs.deployments import clock_flags, when_and_where, where_and_when_called
from pipeline.inputs.recorder_names import note_from_name
from pipeline.options import Config
from pipeline.records import (
    SCHEMA_VERSION,
    SCORE_DIGITS,
    DetectedCall,
    Fact,
    Failure,
    Listed,
    Outcome,
    RecorderNote,
    RecordingCount,
    RecordingHeader,
    SegmentScores,
)

TOLERATED_LOSS_S = 0.1
"""A smaller difference between header and decoded length comes from encoders."""


@dataclass(frozen=True)
class Counting:
    """How this run counts: the model's rule with the caller's changes."""

    method: str
    rule: CountingRule
    hop_samples: int
    grid: Grid
    label: str
    model_version: str
    run_id: str
    model_sha256: str = ""
    padding: Padding = "end"
    channel: str = MIX

    @property
    def scoring(self) -> str:
        """A digest of all that determines a window's score, besides the recording."""
        channel = () if self.channel == MIX else (self.channel,)
        grid = asdict(self.grid)
        if not self.grid.short_samples:  # scores kept before there were any are as good
            del grid["short_samples"]
        return digest(self.model_sha256, self.padding, grid, *channel)

    @classmethod
    def of(cls, config: Config, contract: ServingContract, run_id: str) -> Counting:
        """Combines the caller's choices with the contract's defaults."""
        rule = contract.rule
        if config.threshold is not None:
            rule = replace(rule, threshold=config.threshold)
        elif config.threshold_shift is not None:
            rule = replace(rule, threshold=shifted_score(rule.threshold, config.threshold_shift))
        default_hop_s = WINDOW_S if config.counting == "windows" else contract.hop_s
        hop_samples = max(1, samples_from_seconds(config.hop_s or default_hop_s))
        return cls(
            method=config.counting,
            rule=rule,
            hop_samples=hop_samples,
            grid=contract.grid(hop_samples),
            label=contract.label,
            model_version=contract.model_version,
            run_id=run_id,
            model_sha256=contract.model_sha256,
            padding=contract.padding,
            channel=config.channel,
        )


def shifted_score(score: float, by: float) -> float:
    """A score whose log odds are higher by so much, rounded as tables show it.

    >>> shifted_score(0.5, 2.2), shifted_score(0.9997, 20)
    (0.90025, 0.99999)
    """
    least = 10.0**-SCORE_DIGITS
    moved = round(float(probabilities(log_odds(score) + by)), SCORE_DIGITS)
    return min(max(moved, least), 1 - least)


def digest(*parts: Any) -> str:
    """A short digest of settings."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Counted:
    """A recording with its results.

    Attributes:
        listed: name and version.
        checksum: of its content, if a step read it, see ``RecordingHeader``.
        transient: it failed for a reason that may pass.
        histogram: windows by score in tenths.
        row, calls: rows of the tables.
        to_keep: scores that no lasting file holds yet.
    """

    listed: Listed
    checksum: str
    transient: bool
    histogram: tuple[int, ...]
    row: RecordingCount
    calls: tuple[DetectedCall, ...]
    to_keep: tuple[SegmentScores, ...]


@dataclass(frozen=True)
class Evidence:
    """The facts of one recording from earlier steps, by kind.

    Attributes:
        segments: its scores, in order of time.
    """

    listed: Listed
    header: RecordingHeader | None
    segments: tuple[SegmentScores, ...]
    failures: tuple[Failure, ...]

    @classmethod
    def of(cls, recording: str, facts: Iterable[Fact]) -> Evidence:
        """Sorts facts, which come in any order."""
        by_kind: dict[type, list[Any]] = {}
        for fact in facts:
            by_kind.setdefault(type(fact), []).append(fact)
        return cls(
            listed=next(iter(by_kind.get(Listed, [])), Listed(recording)),
            header=next(iter(by_kind.get(RecordingHeader, [])), None),
            segments=tuple(
                sorted(by_kind.get(SegmentScores, []), key=lambda s: s.origin.first_input)
            ),
            failures=tuple(by_kind.get(Failure, [])),
        )

    @property
    def has_all_segments(self) -> bool:
        """Whether the scores cover the whole recording."""
        return self.header is not None and len(self.segments) == self.header.n_segments

    @cached_property
    def scores(self) -> tuple[Starts, Samples]:
        """First samples of the scored windows or steps of the whole recording, and their scores."""
        return (
            np.concatenate([np.zeros(0, np.int64), *(s.starts for s in self.segments)]),
            np.concatenate([np.zeros(0, np.float32), *(s.scores for s in self.segments)]),
        )

    @cached_property
    def voices(self) -> dict[int, Voice]:
        """What calls are like, by the first sample of the step where each moo begins."""
        return {step: voice for segment in self.segments for step, voice in segment.voices}

    def windows(self, counting: Counting) -> tuple[Starts, Samples]:
        """First samples of its windows, and their scores."""
        n_samples = self.header.n_samples if self.header else 0
        return window_scores(*self.scores, counting.grid, n_samples, counting.hop_samples)


def count_recording(recording: str, facts: Iterable[Fact], counting: Counting) -> Counted:
    """Makes the row of a recording, its calls and its entry in the ledger.

    A recording with a failed segment has no count: the count of a part looks like the count of the
    whole. Neither has one whose content is counted under another name.

    Args:
        recording: its name as the caller wrote it.
        facts: of the recording, in any order.
        counting: how to count.
    """
    evidence = Evidence.of(recording, facts)
    windows = evidence.windows(counting)
    calls: tuple[DetectedCall, ...] = ()
    if reason := _why_not_counted(recording, evidence):
        row = _failed_row(recording, evidence, counting, reason)
    else:
        row, calls = _counted_row(recording, evidence, windows, counting)
    failures = evidence.failures
    permanent = all(f.permanent for f in failures) if failures else evidence.has_all_segments
    tenths = np.minimum((windows[1] * 10).astype(np.int64), 9)
    return Counted(
        listed=evidence.listed,
        checksum=evidence.header.checksum if evidence.header else "",
        transient=row.outcome == Outcome.FAILED.value and not permanent,
        histogram=tuple(np.bincount(tenths, minlength=10).tolist()),
        row=row,
        calls=calls,
        to_keep=() if reason else tuple(s for s in evidence.segments if not s.is_saved),
    )


def _why_not_counted(recording: str, evidence: Evidence) -> str:
    """Why there can be no count, or need be none; empty if there is to be one."""
    if kept := evidence.listed.copy_of:
        return f"has the same content as {kept}, which is counted; --keep_copies counts both"
    if evidence.failures:
        return min(f"{f.step}: {f.error}" for f in evidence.failures)
    if not evidence.has_all_segments:
        n_segments = evidence.header.n_segments if evidence.header else "unknown"
        scored = f"{len(evidence.segments)} of {n_segments} segments"
        return f"{recording}: only {scored} were scored; run it again"
    if not len(evidence.scores[0]):
        return f"decode: {recording}: nothing in it could be decoded"
    return ""


def _failed_row(
    recording: str, evidence: Evidence, counting: Counting, error: str
) -> RecordingCount:
    """The row of a recording without a count."""
    header = evidence.header
    has_note = header is not None and header.note != RecorderNote()
    note = header.note if header and has_note else note_from_name(recording)
    row = RecordingCount(
        recording=recording,
        outcome=(Outcome.COPY if evidence.listed.copy_of else Outcome.FAILED).value,
        **when_and_where(evidence.listed.place, note),
        recorder=note.recorder,
        firmware=note.firmware,
        gain=note.gain,
        battery_v=note.battery_v,
        temperature_c=note.temperature_c,
        error=error,
        counting=counting.method,
        threshold=counting.rule.threshold,
        hop_s=seconds_from_samples(counting.hop_samples),
        model_version=counting.model_version,
        run_id=counting.run_id,
        schema_version=SCHEMA_VERSION,
    )
    if header is None:
        return row
    return replace(
        row,
        duration_s=header.duration_s,
        sample_rate_hz=header.sample_rate_hz,
        channels=header.channels,
        encoding=header.encoding,
    )


def _counted_row(
    recording: str, evidence: Evidence, windows: tuple[Starts, Samples], counting: Counting
) -> tuple[RecordingCount, tuple[DetectedCall, ...]]:
    header, segments = evidence.header, evidence.segments
    assert header
    starts, scores = evidence.scores
    decoded_s = seconds_from_samples(sum(s.decoded_samples for s in segments))
    heard_s = min(decoded_s, header.duration_s)
    lost_s = header.duration_s - heard_s
    calls = _calls(evidence, windows, counting)
    quality = sum_of(s.quality for s in segments)
    outcome, error = (Outcome.OK if calls else Outcome.NO_CALLS), ""
    if problems := list(unheard(evidence.listed.size, header, lost_s)):
        outcome = Outcome.TRUNCATED
        error = f"decode: {recording}: {', '.join(problems)}; the counts are of the rest"
    failed = _failed_row(recording, evidence, counting, error)
    row = replace(
        failed,
        outcome=outcome.value,
        call_count=len(calls),
        positive_windows=count_positive_windows(windows[1], counting.rule.threshold),
        windows=len(windows[1]),
        max_score=float(scores.max()),
        heard_s=heard_s,
        quality_flags=" ".join(
            dict.fromkeys(
                (
                    *flags(quality, header.sample_rate_hz, lost_s),
                    *header.remarks.split(),
                    *(["unaccounted_bytes"] if header.unaccounted_bytes else []),
                    *header.note.dropped.split(),
                    *clock_flags(failed),
                )
            )
        ),
        clipped_share=quality.clipped_share,
        silent_share=quality.silent_share,
        dropout_share=quality.dropout_share,
        dc_offset=quality.dc_offset,
        rms_dbfs=quality.rms_dbfs,
    )
    if counting.method == "calls":
        row = _with_expectation(row, estimate_count(starts, scores, counting.rule))
    return row, tuple(
        DetectedCall(
            recording=recording,
            start_s=call.start_s,
            end_s=call.end_s,
            score=call.score,
            windows=_positive_around(call, windows, counting.rule),
            **where_and_when_called(row, call.start_s),
            label=counting.label,
            model_version=counting.model_version,
            run_id=counting.run_id,
            schema_version=SCHEMA_VERSION,
            since_last_s=call.start_s - before.start_s if before else None,
            **(_voice(call, evidence) if counting.method == "calls" else {}),
        )
        for before, call in pairwise((None, *calls))
        if call
    )


def _voice(call: Call, evidence: Evidence) -> dict[str, Any]:
    """What a call is like, where the model says when its moo begins."""
    starts, scores = evidence.scores
    if not evidence.voices:
        return {}
    nearest = int(np.searchsorted(starts, call.peak_s * SAMPLE_RATE_HZ, "right")) - 1
    voice = evidence.voices.get(int(starts[onset_step(scores, max(0, nearest))]))
    return asdict(voice) if voice else {}


def unheard(size: int, header: RecordingHeader, lost_s: float) -> Iterator[str]:
    """What of a recording is not in its counts, in words."""
    remarks = header.remarks.split()
    if lost_s > TOLERATED_LOSS_S:
        yield f"{lost_s:.1f} s of {header.duration_s:.1f} s could not be decoded"
    if header.unaccounted_bytes:
        of = f" of {size:,}" if size >= 0 else ""
        yield f"{header.unaccounted_bytes:,}{of} bytes are neither sound nor anything that is known"
    if NO_END in remarks:
        yield "it breaks off before the page that would end it"
    if SHORTER in remarks:
        yield "its header promises more than the file holds"


def _with_expectation(row: RecordingCount, estimate: CountEstimate | None) -> RecordingCount:
    """The row with calls expected, and a flag where the count is not among their likely numbers."""
    if estimate is None:
        return row
    count, low, high = row.call_count or 0, estimate.low, estimate.high
    doubt = "more_expected" if count < low else "fewer_expected" if count > high else ""
    return replace(
        row,
        expected_calls=estimate.mean,
        expected_low=low,
        expected_high=high,
        quality_flags=f"{row.quality_flags} {doubt}".strip(),
    )


def _positive_around(call: Call, windows: tuple[Starts, Samples], rule: CountingRule) -> int:
    """Number of windows at or above the threshold around the middle of a call, at least 1."""
    middle_s = call.peak_s + (MOO_S / 2 if rule.score_s < WINDOW_S else 0)
    starts_s = windows[0] / SAMPLE_RATE_HZ
    near = (starts_s <= middle_s) & (middle_s <= starts_s + WINDOW_S)
    return max(1, count_positive_windows(windows[1][near], rule.threshold))


def _calls(
    evidence: Evidence, windows: tuple[Starts, Samples], counting: Counting
) -> tuple[Call, ...]:
    assert evidence.header
    n_samples = evidence.header.n_samples
    if counting.method == "calls":
        return find_calls(*evidence.scores, counting.rule, n_samples)
    duration_s = seconds_from_samples(n_samples)
    starts, scores = windows
    positive = scores >= np.float32(counting.rule.threshold)
    return tuple(
        Call(start_s, min(start_s + WINDOW_S, duration_s), start_s + WINDOW_S / 2, float(score))
        for start_s, score in sorted(
            (seconds_from_samples(int(start)), score)
            for start, score in zip(starts[positive], scores[positive], strict=True)
        )
    )
