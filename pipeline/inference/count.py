"""From all that is known of a recording to its row and its calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from model.calls import Call, CountingRule, count_positive_windows, estimate_count, find_calls
from model.contract import ServingContract
from model.quality import flags, total
from model.windows import (
    WINDOW_S,
    Padding,
    samples_from_seconds,
    seconds_from_samples,
)
from pipeline.inputs.deployments import later, when_and_where
from pipeline.inputs.recorder_notes import note_from_name
from pipeline.options import Config
from pipeline.records import (
    SCHEMA_VERSION,
    DetectedCall,
    Evidence,
    Failure,
    Listed,
    Outcome,
    RecordingCount,
    RecordingHeader,
    SegmentScores,
)

TOLERATED_LOSS_S = 0.1
"""Shorter than this, a difference between header and decoded length is a matter of encoders."""


@dataclass(frozen=True)
class Counting:
    """How this run counts: the model's rule with what the caller changed."""

    method: str
    rule: CountingRule
    hop_samples: int
    label: str
    model_version: str
    run_id: str
    model_sha256: str = ""
    padding: Padding = "end"

    @property
    def scoring(self) -> str:
        """Names all that a window's score depends on, besides the recording."""
        return digest(self.model_sha256, self.padding, self.hop_samples)

    @classmethod
    def of(cls, config: Config, contract: ServingContract, run_id: str) -> Counting:
        """What the caller chose, and the contract where they chose nothing."""
        rule = contract.rule
        if config.threshold is not None:
            rule = replace(rule, threshold=config.threshold)
        default_hop_s = WINDOW_S if config.counting == "windows" else contract.hop_s
        return cls(
            method=config.counting,
            rule=rule,
            hop_samples=max(1, samples_from_seconds(config.hop_s or default_hop_s)),
            label=contract.label,
            model_version=contract.model_version,
            run_id=run_id,
            model_sha256=contract.model_sha256,
            padding=contract.padding,
        )


def digest(*parts: Any) -> str:
    """A short name for settings: equal settings, equal name."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Counted:
    """A recording with all that becomes of it.

    Attributes:
        listed: what it was.
        checksum: of its content, if it was read, see ``RecordingHeader``.
        transient: it failed for a reason that may pass.
        histogram: windows by score in tenths.
        row, calls: what the tables show.
        to_keep: scores that no file keeps yet for good.
    """

    listed: Listed
    checksum: str
    transient: bool
    histogram: tuple[int, ...]
    row: RecordingCount
    calls: tuple[DetectedCall, ...]
    to_keep: tuple[SegmentScores, ...]


def finish_recording(recording: str, evidence: Iterable[Evidence], counting: Counting) -> Counted:
    """Counts a recording, and gathers what the ledger keeps of it."""
    known = list(evidence)
    row, calls = count_recording(recording, known, counting)
    scored = [item for item in known if isinstance(item, SegmentScores)]
    failures = [item for item in known if isinstance(item, Failure)]
    is_failed = row.outcome == Outcome.FAILED.value
    n_segments = next((item.n_segments for item in known if isinstance(item, RecordingHeader)), -1)
    permanent = all(f.permanent for f in failures) if failures else len(scored) == n_segments
    scores = np.concatenate([np.zeros(0, np.float32), *(s.scores for s in scored)])
    tenths = np.minimum((scores * 10).astype(np.int64), 9)
    return Counted(
        listed=next((item for item in known if isinstance(item, Listed)), Listed(recording)),
        checksum=next((item.checksum for item in known if isinstance(item, RecordingHeader)), ""),
        transient=is_failed and not permanent,
        histogram=tuple(np.bincount(tenths, minlength=10).tolist()),
        row=row,
        calls=calls,
        to_keep=() if is_failed else tuple(s for s in scored if s.origin),
    )


def count_recording(
    recording: str, evidence: Iterable[Evidence], counting: Counting
) -> tuple[RecordingCount, tuple[DetectedCall, ...]]:
    """The row of a recording, and its calls.

    The evidence comes in any order. A recording of which a segment failed has no count: a count
    over a part of it would look like one over all of it.
    """
    header: RecordingHeader | None = None
    listed = Listed(recording)
    segments: list[SegmentScores] = []
    failures: list[Failure] = []
    for item in evidence:
        if isinstance(item, RecordingHeader):
            header = item
        elif isinstance(item, Listed):
            listed = item
        elif isinstance(item, Failure):
            failures.append(item)
        else:
            segments.append(item)

    note = header.note if header else note_from_name(recording)
    known = when_and_where(listed.place, note)
    row = RecordingCount(
        recording=recording,
        outcome=Outcome.FAILED.value,
        call_count=None,
        expected_calls=None,
        expected_low=None,
        expected_high=None,
        positive_windows=None,
        windows=None,
        max_score=None,
        duration_s=header.duration_s if header else None,
        heard_s=None,
        sample_rate_hz=header.sample_rate_hz if header else None,
        channels=header.channels if header else None,
        encoding=header.encoding if header else "",
        **asdict(known),
        quality_flags="",
        clipped_share=None,
        silent_share=None,
        dropout_share=None,
        dc_offset=None,
        rms_dbfs=None,
        error="",
        counting=counting.method,
        threshold=counting.rule.threshold,
        hop_s=seconds_from_samples(counting.hop_samples),
        model_version=counting.model_version,
        run_id=counting.run_id,
        schema_version=SCHEMA_VERSION,
    )
    if failures:
        return replace(row, error=min(f"{f.step}: {f.error}" for f in failures)), ()
    if header is None or len(segments) != header.n_segments:
        found = f"{len(segments)} of {header.n_segments if header else 'unknown'} segments"
        return replace(row, error=f"{recording}: only {found} were scored; run it again"), ()

    starts = np.concatenate([s.starts for s in segments])
    scores = np.concatenate([s.scores for s in segments])
    heard_samples = sum(s.heard_samples for s in segments)
    heard_s = min(seconds_from_samples(heard_samples), header.duration_s)
    if not len(scores):
        return replace(row, error=f"decode: {recording}: nothing in it could be decoded"), ()

    calls = _calls(starts, scores, header.n_samples, counting)
    lost_s = header.duration_s - heard_s
    quality = total(s.quality for s in segments)
    outcome = Outcome.OK if calls else Outcome.NO_CALLS
    error = ""
    if lost_s > TOLERATED_LOSS_S:
        outcome = Outcome.TRUNCATED
        error = (
            f"decode: {recording}: {lost_s:.1f} s of {header.duration_s:.1f} s could not be "
            "decoded; the counts are of the rest"
        )
    if counting.method == "calls":
        estimate = estimate_count(starts, scores, counting.rule)
        row = replace(
            row,
            expected_calls=estimate.mean,
            expected_low=estimate.low,
            expected_high=estimate.high,
        )
    row = replace(
        row,
        outcome=outcome.value,
        call_count=len(calls),
        positive_windows=count_positive_windows(scores, counting.rule.threshold),
        windows=len(scores),
        max_score=float(scores.max()),
        heard_s=heard_s,
        quality_flags=" ".join(flags(quality, header.sample_rate_hz, lost_s)),
        clipped_share=quality.clipped_share,
        silent_share=quality.silent_share,
        dropout_share=quality.dropout_share,
        dc_offset=quality.dc_offset,
        rms_dbfs=quality.rms_dbfs,
        error=error,
    )
    return row, tuple(
        DetectedCall(
            recording=recording,
            start_s=call.start_s,
            end_s=call.end_s,
            score=call.score,
            windows=call.n_windows,
            site=known.site,
            called_at=later(known.recorded_at, call.start_s),
            label=counting.label,
            model_version=counting.model_version,
            run_id=counting.run_id,
            schema_version=SCHEMA_VERSION,
        )
        for call in calls
    )


def _calls(
    starts: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    n_samples: int,
    counting: Counting,
) -> tuple[Call, ...]:
    if counting.method == "calls":
        return find_calls(starts, scores, counting.rule, n_samples)
    duration_s = seconds_from_samples(n_samples)
    positive = scores >= np.float32(counting.rule.threshold)
    return tuple(
        Call(start_s, min(start_s + WINDOW_S, duration_s), float(score), 1)
        for start_s, score in sorted(
            (seconds_from_samples(int(start)), score)
            for start, score in zip(starts[positive], scores[positive], strict=True)
        )
    )
