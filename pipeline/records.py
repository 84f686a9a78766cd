"""What flows through the job, and the rows that leave it.

The rows (`RecordingCount`, `DetectedCall`, `ActivityHour`) are the single description of the
tables: headers, cells, schemas and docs derive from their fields.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from model.audio.mp3 import Mp3Way
from model.audio.quality import Quality
from model.voice import Voice

SCHEMA_VERSION = 3

SCORE_DIGITS = 5
"""Decimals that tell log odds of -8 to 8 apart in sixteenths, the released network's steps."""


class Outcome(StrEnum):
    """What became of an input. Each input has exactly one."""

    OK = "ok"
    """Heard in full; at least one call."""
    NO_CALLS = "no_calls"
    """Heard in full; no call."""
    TRUNCATED = "truncated"
    """Cut off or damaged in places: the counts are of what could be heard (`heard_s`)."""
    COPY = "copy"
    """The same content as the recording that `error` names, and counted there."""
    FAILED = "failed"
    """Not counted; `error` says why."""


@dataclass(frozen=True)
class Place:
    """Where and when a recording was made, as far as a manifest or a deployment table says.

    Attributes:
        site: name of the place.
        latitude, longitude: degrees, WGS 84.
        recorded_at: start of the recording, ISO 8601, with or without an offset from UTC.
        time_zone: a name such as ``America/Cayenne`` or an offset such as ``-03:00``.
        stays: of a recorder that moved on; the one that the recording's time lies in holds.
    """

    site: str = ""
    latitude: float | None = None
    longitude: float | None = None
    recorded_at: str = ""
    time_zone: str = ""
    stays: tuple[Stay, ...] = ()


@dataclass(frozen=True)
class Stay:
    """A place for a while, by the clock on site.

    Attributes:
        first, last: moments in ISO 8601 without an offset, both included; empty without a bound.
    """

    first: str
    last: str
    place: Place


@dataclass(frozen=True)
class RecorderNote:
    """What the recorder itself noted, in the file's header or name.

    Attributes:
        clock: start of the recording by the recorder's clock, ISO 8601 without an offset.
        utc_offset: of that clock, ``+HH:MM``; empty when the file does not say.
        source: where the time stands, as ``time_source`` has it; empty without one.
        latitude, longitude: degrees, WGS 84.
        dropped: ``invalid_time`` or ``invalid_position``, or both: noted, but impossible.
        conflict: another time that the file notes elsewhere, in words; empty where all agree.
        recorder: its serial number. firmware, gain: as it writes them.
        battery_v: volts. temperature_c: degrees Celsius.
    """

    clock: str = ""
    utc_offset: str = ""
    source: str = ""
    latitude: float | None = None
    longitude: float | None = None
    dropped: str = ""
    conflict: str = ""
    recorder: str = ""
    firmware: str = ""
    gain: str = ""
    battery_v: float | None = None
    temperature_c: float | None = None


@dataclass(frozen=True)
class Listed:
    """A recording in a listing: its name, and what tells one content from another.

    Attributes:
        recording: path or URI as the caller wrote it. size: bytes, -1 when unknown.
        stamp: generation of a bucket's object, or time of last change of a file in nanoseconds.
        checksum: CRC-32C of the content in base64 as a bucket's listing states it, or empty.
        place: what the manifest or deployment table says.
        identity: one name for all the ways to write the recording's path, fixed when it is listed.
        copy_of: identity of the counted recording of this content. is_kept: this is it.
    """

    recording: str
    size: int = -1
    stamp: str = ""
    checksum: str = ""
    place: Place = Place()
    identity: str = ""
    copy_of: str = ""
    is_kept: bool = False


@dataclass(frozen=True)
class RecordingHeader:
    """What a recording's header says, and how many segments its audio is cut into."""

    sample_rate_hz: int
    channels: int
    encoding: str
    duration_s: float
    n_samples: int
    n_segments: int
    note: RecorderNote = RecorderNote()
    checksum: str = ""
    """CRC-32C of a local file's content in base64; empty for a long file or a bucket's object."""
    absent_samples: int = 0
    """Of ``n_samples``, those known at once to lie past the end of a cut-off file."""
    unaccounted_bytes: int = 0
    remarks: str = ""
    is_plain: bool = True
    """These as in ``model.audio.decoders.AudioInfo``."""

    @property
    def frames(self) -> int:
        """Length as recorded."""
        return round(self.duration_s * self.sample_rate_hz)


@dataclass(frozen=True)
class Origin:
    """Where a segment comes from: what its scores are kept under."""

    listed: Listed
    header: RecordingHeader
    first_input: int


@dataclass(frozen=True)
class SegmentPlan:
    """Inputs first_input … first_input + n_inputs - 1 of a recording, a unit of work.

    An input is what the network takes at once, see ``model.windows.Grid``.
    """

    recording: str
    first_input: int
    n_inputs: int
    n_samples: int
    """Length of the whole recording at 16 kHz."""
    share: float
    """Of the recording, 0 to 1; for progress."""
    origin: Origin
    way: Mp3Way | None = None
    """Of an MP3: where in the file its minutes begin."""


@dataclass(frozen=True)
class SegmentAudio:
    """The decoded audio of a segment. It stays between decoding and scoring, on one worker.

    Attributes:
        first_sample: where ``samples`` begin in the recording.
        inputs: where what the network's inputs score begins, in the recording, int64 ``[m]``.
        starts: first samples of what gets a score, in the recording, int64 ``[n]``.
        samples: float32 mono audio at 16 kHz.
        decoded_samples: how many samples could be decoded, of those that no other segment counts.
        quality: of the blocks of audio that no other segment measures.
        origin: passed on from the plan.
    """

    first_sample: int
    inputs: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    samples: npt.NDArray[np.float32]
    decoded_samples: int
    quality: Quality
    origin: Origin


@dataclass(frozen=True)
class SegmentScores:
    """Scores float32 ``[n]`` of the windows or steps that start at samples int64 ``[n]``.

    Attributes:
        is_saved: they lie in ``scores/`` already.
        voices: of what may be a call: the step where its moo begins, and what it is like.
    """

    starts: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    decoded_samples: int
    quality: Quality
    origin: Origin
    is_saved: bool = False
    voices: tuple[tuple[int, Voice], ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a recording, or a part of it, could not be counted. ``step`` names where.

    A failure that lies in the file is permanent: the same file fails again.
    """

    step: str
    error: str
    permanent: bool = False


Fact = Listed | RecordingHeader | SegmentScores | Failure
"""What one step says of a recording on the way to its row."""


def column(doc: str, digits: int | None = None, default: Any = MISSING) -> Any:
    """A field of a row: what it means, and how many decimals its text shows."""
    return field(default=default, metadata={"doc": doc, "digits": digits})


def optional(doc: str, digits: int | None = None) -> Any:
    """A field that is None where its value is unknown."""
    return column(doc, digits, None)


def text(doc: str) -> Any:
    """A text that is empty where it is unknown."""
    return column(doc, default="")


@dataclass(frozen=True, kw_only=True)
class RecordingCount:
    """A row of counts.csv: one for every input."""

    recording: str = column("Path or URI of the recording.")
    outcome: str = column("ok, no_calls, truncated, copy or failed.")
    call_count: int | None = optional("Calls. Empty if the recording could not be counted.")
    expected_calls: float | None = optional(
        "Calls expected from all peaks of the scores, weak ones too. Empty for counted windows, "
        "and where the model says nothing of it.",
        2,
    )
    expected_low: int | None = optional("At least so many calls, with 95 % confidence.")
    expected_high: int | None = optional("At most so many calls, with 95 % confidence.")
    positive_windows: int | None = optional("Windows whose score reaches the threshold.")
    windows: int | None = optional("Windows of 3 s that could be scored.")
    max_score: float | None = optional("Highest score, 0 to 1.", SCORE_DIGITS)
    duration_s: float | None = optional("Length by the file's header, in seconds.", 3)
    heard_s: float | None = optional("Length that could be decoded, in seconds.", 3)
    sample_rate_hz: int | None = optional("Sample rate as recorded, in hertz.")
    channels: int | None = optional("Channels as recorded.")
    encoding: str = text("Container and sample format.")
    site: str = text("Name of the place, from the manifest or deployment table.")
    latitude: float | None = optional("Degrees north, WGS 84.", 6)
    longitude: float | None = optional("Degrees east, WGS 84.", 6)
    recorded_at: str = text("Start of the recording, ISO 8601 with offset. Empty if unknown.")
    recorded_local: str = text("Start by the clock on site, or else the recorder's. No offset.")
    time_zone: str = text("Zone or offset of recorded_local. Empty if nobody stated it.")
    time_source: str = text(
        "Origin of the time: manifest, guano, song_meter_header, audiomoth_header, flac_comment or "
        "file_name."
    )
    clock_conflict: str = text("Other times that the file or the manifest state, and where.")
    recorder: str = text("Serial number of the recorder, where the file says it.")
    firmware: str = text("Version of the recorder's firmware.")
    gain: str = text("Gain of the recorder, in its words.")
    battery_v: float | None = optional("Voltage of the recorder's battery.", 2)
    temperature_c: float | None = optional("Temperature in the recorder, in degrees Celsius.", 1)
    quality_flags: str = text(
        "Any of clipped, silent, silent_channel, cancelled_channels, noisy_channel, dropouts, "
        "dc_offset, shorter_than_header, longer_than_header, joined_streams, no_end, "
        "unaccounted_bytes, low_sample_rate, invalid_time, invalid_position, clock_conflict, "
        "clock_unset, more_expected, fewer_expected."
    )
    clipped_share: float | None = optional("Share of a channel at full scale; the worst one.", 6)
    silent_share: float | None = optional("Share of it in blocks below -80 dBFS throughout.", 4)
    dropout_share: float | None = optional("Share of the recording that is zeros amid sound.", 6)
    dc_offset: float | None = optional("Mean of the samples, of a full scale of 1.", 5)
    rms_dbfs: float | None = optional("Loudness of the recording, in dB below full scale.", 1)
    error: str = text("Why a recording failed, was cut short or is a copy, and what to do.")
    counting: str = column("Counting rule: calls or windows.")
    threshold: float = column("Score that makes a call, 0 to 1.", SCORE_DIGITS)
    hop_s: float = column("Distance between windows, in seconds.", 3)
    model_version: str = column("Name and version of the model.")
    run_id: str = column("The run that wrote this row.")
    schema_version: int = column("Version of this table's layout.")


@dataclass(frozen=True, kw_only=True)
class DetectedCall:
    """A row of calls.csv: one for every call."""

    recording: str = column("Path or URI of the recording.")
    start_s: float = column("Start of the call, in seconds from the start of the recording.", 3)
    end_s: float = column("End of the call, in seconds from the start of the recording.", 3)
    score: float = column(
        "Score of the call's peak, smoothed over its windows, 0 to 1.", SCORE_DIGITS
    )
    windows: int = column("Windows that hold the call and reach the threshold.")
    site: str = text("Name of the place, from the manifest or deployment table.")
    latitude: float | None = optional("Degrees north, WGS 84.", 6)
    longitude: float | None = optional("Degrees east, WGS 84.", 6)
    called_at: str = text("Start of the call, ISO 8601 with offset. Empty if no zone is known.")
    called_local: str = text("Start by the clock on site, or else the recorder's. No offset.")
    label: str = column("What was heard.")
    model_version: str = column("Name and version of the model.")
    run_id: str = column("The run that wrote this row.")
    schema_version: int = column("Version of this table's layout.")
    level_dbfs: float | None = optional("Level of its moo, 350 to 1800 Hz, dB re full scale.", 1)
    above_background_db: float | None = optional("The same over the background's, in dB.", 1)
    spacing_hz: float | None = optional("From one harmonic to the next, in hertz.", 2)
    spacing_error_hz: float | None = optional("Standard error of `spacing_hz`.", 2)
    moo_s: float | None = optional("Length of its moo, in seconds.", 2)
    since_last_s: float | None = optional("Since the last call's start in the recording.", 3)


@dataclass(frozen=True, kw_only=True)
class ActivityHour:
    """A row of activity.csv: one for each site and hour in which something was recorded."""

    site: str = text("Name of the place; empty for recordings without one.")
    date: str = column("Date by the clock on site.")
    hour: int = column("Hour of the day by that clock, 0 to 23.")
    recorded_h: float = column("Hours validly recorded in it: heard, less silence and dropouts.", 4)
    calls: int = column("Calls that began in it.")


@dataclass(frozen=True, kw_only=True)
class VerifiedCount:
    """A row of verified.csv: what a labelled sample says of one site, or of all together."""

    scope: str = column("all (every site together) or site.")
    site: str = text("Name of the place; empty for recordings without one.")
    recorded_h: float = column("Hours validly recorded: heard, less silence and dropouts.", 4)
    counted_calls: int = column("Calls that the model counted: rows of calls.csv.")
    labelled: int = column("Clips labelled yes or no.")
    unsure: int = column("Clips labelled unsure; they are left out.")
    precision: float | None = optional("Share of the counted calls that are calls.", 3)
    precision_low: float | None = optional("Its 5 % point.", 3)
    precision_high: float | None = optional("Its 95 % point.", 3)
    recall: float | None = optional("Share of all calls that were counted. Empty without any.", 3)
    recall_low: float | None = optional("Its 5 % point.", 3)
    recall_high: float | None = optional("Its 95 % point.", 3)
    verified_calls: float = column(
        "Calls that there are, counted or missed: the middle of what is likely.", 1
    )
    verified_low: float = column("Their 5 % point.", 1)
    verified_high: float = column("Their 95 % point.", 1)
    calls_per_h: float | None = optional("`verified_calls` for each hour of `recorded_h`.", 3)
    calls_per_h_low: float | None = optional("Its 5 % point.", 3)
    calls_per_h_high: float | None = optional("Its 95 % point.", 3)
    calls_by_scores: float | None = optional(
        "Calls that the site's scores alone suggest, if calls and all else score there as they do "
        "elsewhere. Far outside the interval: label more clips of this site.",
        1,
    )
    threshold: float = column(
        "Score that made a call when the clips were drawn, 0 to 1.", SCORE_DIGITS
    )
    wanted_precision: float = column("Precision that `threshold_wanted` is for.", 3)
    threshold_wanted: float | None = optional(
        "Least threshold with that precision. Empty where none has it.", SCORE_DIGITS
    )
    model_version: str = column("Name and version of the model.")
    run_id: str = column("The last run that counted.")
    schema_version: int = column("Version of this table's layout.")


Row = RecordingCount | DetectedCall | ActivityHour | VerifiedCount


@dataclass(frozen=True, kw_only=True)
class SiteVisit:
    """A row of history.csv: one for each site and visit, whether or not anything was recorded."""

    site: str = column("Name of the place.")
    visit: str = column("The day, the evening of the night, or the Monday of the week.")
    starts_local: str = column("When the visit begins by the clock on site.")
    ends_local: str = column("When it ends; the next one begins then.")
    recorded_h: float = column("Hours recorded in it.", 4)
    valid_h: float = column("Of these, hours in which a bird could have been heard.", 4)
    calls: int | None = optional("Calls in it, less those that people heard to be none.")
    detected: int | None = optional("1 if there are any, 0 if not.")
    verified_calls: int | None = optional("Of the calls, those that people confirmed by ear.")
    verified: int | None = optional(
        "1 if any call was confirmed, 0 if there are no calls, NA as long as nobody has confirmed "
        "or refuted the calls there are."
    )


@dataclass(frozen=True)
class RunSummary:
    """A row of the table of runs: what was run, and what came out."""

    run_id: str = column("The run.")
    started_at: str = column("When it was started, ISO 8601 in UTC.")
    inputs: int = column("Recordings of the night, whatever became of them.")
    ok: int = column("Recordings heard in full, with calls.")
    no_calls: int = column("Recordings heard in full, without a call.")
    truncated: int = column("Recordings of which a part could be heard.")
    failed: int = column("Recordings that could not be counted.")
    skipped: int = column("Of all these, recordings that an earlier run had counted.")
    calls: int = column("Calls in all recordings.")
    duration_s: float = column("Length of all recordings by their headers, in seconds.", 3)
    heard_s: float = column("Length that could be decoded, in seconds.", 3)
    model_version: str = column("Name and version of the model.")
    model_sha256: str = column("Hash of the model's file.")
    training_data_sha256: str = column("Hash over all that the model was trained on.")
    configuration: str = column("All settings of the run, as JSON.")
    schema_version: int = column("Version of this table's layout.")


def column_names(row_type: type[Any]) -> list[str]:
    """The header of a table."""
    return [f.name for f in fields(row_type)]
