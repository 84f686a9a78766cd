"""A recording with its calls as JSON, for programs with formats without rows and columns."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pipeline.exports.species import CALL_HIGH_HZ, CALL_LOW_HZ, species_of
from pipeline.records import SCORE_DIGITS, DetectedCall, RecordingCount


def aoef(row: RecordingCount, calls: Sequence[DetectedCall]) -> dict[str, Any]:
    """A recording's calls as a prediction set of the Acoustic Objects Exchange Format, 1.1.0.

    Identifiers depend on the recording's name and the calls' times only, so the same calls keep
    theirs.
    """

    def name_of(*parts: object) -> str:
        return str(uuid5(NAMESPACE_URL, "|".join(map(str, [row.recording, *parts]))))

    began = datetime.fromisoformat(row.recorded_local) if row.recorded_local else None
    recording = {
        "uuid": name_of("recording"),
        "path": row.recording,
        "duration": row.duration_s,
        "channels": row.channels,
        "samplerate": row.sample_rate_hz,
        "date": began.date().isoformat() if began else None,
        "time": began.time().isoformat() if began else None,
        "latitude": row.latitude,
        "longitude": row.longitude,
    }
    names = dict.fromkeys(species_of(call.label) for call in calls)
    tags = [
        {"id": n, "key": "dwc:scientificName", "value": bird.scientific or bird.common}
        for n, bird in enumerate(names)
    ]
    times = [(round(call.start_s, 3), round(call.end_s, 3)) for call in calls]
    predictions = [
        {
            "uuid": name_of("prediction", *time),
            "sound_event": name_of("event", *time),
            "score": round(call.score, SCORE_DIGITS),
            "tags": [[list(names).index(species_of(call.label)), round(call.score, SCORE_DIGITS)]],
        }
        for call, time in zip(calls, times, strict=True)
    ]
    data = {
        "uuid": name_of("set", row.model_version),
        "name": posixpath.basename(row.recording),
        "description": row.model_version,
        "collection_type": "prediction_set",
        "tags": tags,
        "recordings": [{k: value for k, value in recording.items() if value is not None}],
        "sound_events": [
            {
                "uuid": name_of("event", *time),
                "recording": name_of("recording"),
                "geometry": {
                    "type": "BoundingBox",
                    "coordinates": [time[0], CALL_LOW_HZ, time[1], CALL_HIGH_HZ],
                },
            }
            for time in times
        ],
        "clips": [
            {
                "uuid": name_of("clip"),
                "recording": name_of("recording"),
                "start_time": 0.0,
                "end_time": row.duration_s,
            }
        ],
        "sound_event_predictions": predictions,
        "clip_predictions": [
            {
                "uuid": name_of("clip predictions"),
                "clip": name_of("clip"),
                "sound_events": [one["uuid"] for one in predictions],
            }
        ],
    }
    return {"version": "1.1.0", "data": data}


def label_studio(row: RecordingCount, calls: Sequence[DetectedCall]) -> dict[str, Any]:
    """A recording as a task for Label Studio, with the calls as predictions."""
    result = [
        {
            "id": f"call{number}",
            "from_name": "label",
            "to_name": "audio",
            "type": "labels",
            "original_length": row.duration_s,
            "value": {
                "start": round(call.start_s, 3),
                "end": round(call.end_s, 3),
                "channel": 0,
                "labels": [species_of(call.label).common],
            },
            "score": round(call.score, SCORE_DIGITS),
        }
        for number, call in enumerate(calls, 1)
    ]
    data = {"audio": row.recording, "site": row.site, "recorded_local": row.recorded_local}
    score = max((one["score"] for one in result), default=0.0)  # type: ignore[type-var]
    prediction = {"model_version": row.model_version, "score": score, "result": result}
    return {"data": data, "predictions": [prediction]}
