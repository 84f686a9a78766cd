"""What somebody says of calls while browsing, kept as labels.csv."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.records import DetectedCall
from pipeline.storage import files
from pipeline.survey.labels import BROWSED, Answer, Label, label_lines, read_labels
from pipeline.tables.cell_text import encode


class Answers:
    """One observer's labels of calls, in a file that is written anew after each answer.

    Args:
        name: of the file; answers that are there already are kept.
        observer: who answers.

    Raises:
        OSError, ValueError: the file is unreadable, or no table of labels.
    """

    def __init__(self, name: str, observer: str = "") -> None:
        self.name, self._observer = name, observer
        self._lock = threading.Lock()
        self._labels = {
            _key(one.recording, one.start_s): one
            for one in (read_labels(name) if files.exists(name) else ())
        }

    def __len__(self) -> int:
        return len(self._labels)

    def of(self, call: DetectedCall) -> str:
        """``yes``, ``no``, ``unsure``, or nothing."""
        label = self._labels.get(_key(call.recording, call.start_s))
        return label.label if label else ""

    def give(self, call: DetectedCall, site: str, answer: Answer | None) -> None:
        """Keeps an answer, or takes it back. Raises OSError if the file cannot be written."""
        key = _key(call.recording, call.start_s)
        with self._lock:
            labels = dict(self._labels)
            if answer is None:
                labels.pop(key, None)
            else:
                now = datetime.now(UTC).replace(microsecond=0).isoformat()
                label = Label(
                    recording=call.recording,
                    start_s=call.start_s,
                    end_s=call.end_s,
                    score=call.score,
                    site=site,
                    stratum=BROWSED,
                    label=answer,
                )
                labels[key] = replace(label, observer=self._observer, labelled_at=now)
            files.write_atomically(self.name, [encode("".join(label_lines(labels.values())))])
            self._labels = labels


def _key(recording: str, start_s: float) -> tuple[str, int]:
    return recording, round(1000 * start_s)
