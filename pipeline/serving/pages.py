"""What is shown of an output: a path and its query → HTML, a picture or a sound.

Calls and recordings go by their number in calls.csv and counts.csv: no path of a file is taken from
a request.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlencode

from pipeline.records import DetectedCall, RecordingCount
from pipeline.report.charts import distinct_names
from pipeline.report.html import fill_in
from pipeline.report.page import REPORT_PAGE
from pipeline.report.spectrograms import TOP_HZ, CallPicture, bounds_of_call, picture_stretch
from pipeline.report.speech import SpeechMode
from pipeline.serving.answers import Answers
from pipeline.storage import files
from pipeline.tables.read import read_results
from pipeline.tables.rows import OUTCOME_WORDS

CALLS_AT_ONCE = 24
RECORDINGS_AT_ONCE = 100
STRETCH_S = 30.0
_PICTURES_KEPT = 64
_ORDERS: dict[str, Callable[[DetectedCall], Any]] = {
    "highest score": lambda call: -call.score,
    "lowest score": lambda call: call.score,
    "time": lambda call: (call.called_local or "", call.recording, call.start_s),
}

Query = Mapping[str, str]
_One = TypeVar("_One", RecordingCount, DetectedCall)


class NotThere(LookupError):
    """There is no such page."""


@dataclass(frozen=True)
class Reply:
    """What a request is answered with."""

    kind: str
    body: bytes


class Pages:
    """The pages of an output folder.

    Args:
        output: of a run.
        answers: where answers are kept.
        speech: treatment of people's voices.

    Raises:
        OSError: there are no tables of a run.
    """

    def __init__(self, output: str, answers: Answers, speech: SpeechMode = "") -> None:
        self._output, self.answers = output, answers
        results = read_results(output)
        self._rows, self.calls = results.recordings, results.calls
        self._names = distinct_names([row.recording for row in self._rows])
        self._row_of = {row.recording: number for number, row in enumerate(self._rows)}
        self._calls_of: dict[str, list[int]] = defaultdict(list)
        for number, call in enumerate(self.calls):
            self._calls_of[call.recording].append(number)
        self._sites = sorted({row.site for row in self._rows if row.site})

        @lru_cache(_PICTURES_KEPT)
        def picture(recording: str, begin_s: float, end_s: float) -> CallPicture:
            return picture_stretch(recording, begin_s, end_s, speech)

        self._picture = picture

    def site_of(self, call: DetectedCall) -> str:
        """The site of a call's recording."""
        return self._row(call).site

    def _row(self, call: DetectedCall) -> RecordingCount:
        return self._rows[self._row_of[call.recording]]

    def _bounds(self, call: DetectedCall) -> tuple[float, float]:
        return bounds_of_call(call.start_s, call.end_s, self._row(call).duration_s)

    def get(self, path: str, query: Query) -> Reply:
        """A page, a picture or a sound.

        Raises:
            NotThere: there is nothing of that name.
            AudioError, OSError: the recording cannot be read (any more).
        """
        if path == "/":
            return self._front()
        if path == "/calls":
            return self._list_calls(query)
        if path == "/recordings":
            return self._list_recordings(query)
        if match := re.fullmatch(r"/recording/(\d+)", path):
            return self._show_recording(int(match[1]), query)
        if match := re.fullmatch(r"/call/(\d+)\.(jpg|mp3)", path):
            call = _at(self.calls, int(match[1]))
            return self._content(match[2], call.recording, *self._bounds(call))
        if match := re.fullmatch(r"/recording/(\d+)/(\d+)\.(jpg|mp3)", path):
            row = _at(self._rows, int(match[1]))
            begin_s = float(match[2])
            return self._content(match[3], row.recording, begin_s, begin_s + STRETCH_S)
        table = path.removeprefix("/")
        if re.fullmatch(r"\w+\.csv", table) and files.exists(files.join(self._output, table)):
            body = files.read_bytes(files.join(self._output, table))
            return Reply("text/csv; charset=utf-8", body)
        raise NotThere(path)

    def _content(self, ending: str, recording: str, begin_s: float, end_s: float) -> Reply:
        picture = self._picture(recording, begin_s, end_s)
        if ending == "jpg":
            return Reply("image/jpeg", picture.jpeg)
        return Reply("audio/mpeg", picture.mp3)

    def _front(self) -> Reply:
        """report.html as it lies there, with links to what a file cannot hold."""
        try:
            page = files.read_bytes(files.join(self._output, REPORT_PAGE)).decode()
        except FileNotFoundError:
            return self._list_calls({})
        links = '<a href="/calls">Every call</a> <a href="/recordings">Any recording</a></nav>'
        return _html(page.replace("</nav>", links, 1))

    def _list_calls(self, query: Query) -> Reply:
        site, order, answer = query.get("site", ""), query.get("order", ""), query.get("answer", "")
        order = order if order in _ORDERS else next(iter(_ORDERS))
        chosen = [
            number
            for number, call in enumerate(self.calls)
            if (not site or self.site_of(call) == site)
            and (not answer or (self.answers.of(call) or "none") == answer)
        ]
        chosen.sort(key=lambda number: (_ORDERS[order](self.calls[number]), number))
        first = _first(query, CALLS_AT_ONCE, len(chosen))
        asked = {"site": site, "order": order, "answer": answer}
        return _html(
            fill_in(
                "serve_calls.html",
                top_hz=TOP_HZ,
                calls=[self._shown(number) for number in chosen[first : first + CALLS_AT_ONCE]],
                n=len(chosen),
                n_labels=len(self.answers),
                labels=self.answers.name,
                sites=self._sites,
                orders=list(_ORDERS),
                here=_address("/calls", {**asked, "from": str(first)}),
                asked=asked,
                **_pages("/calls", asked, first, CALLS_AT_ONCE, len(chosen)),
            )
        )

    def _shown(self, number: int) -> dict[str, object]:
        call = self.calls[number]
        begin_s, end_s = self._bounds(call)
        return {
            "number": number,
            "call": call,
            "name": self._names[call.recording],
            "site": self.site_of(call),
            "begin_s": begin_s,
            "end_s": end_s,
            "answer": self.answers.of(call),
            "recording": _address(
                f"/recording/{self._row_of[call.recording]}",
                {"at": str(int(call.start_s // STRETCH_S * STRETCH_S))},
            ),
        }

    def _list_recordings(self, query: Query) -> Reply:
        find = query.get("find", "")
        words = find.lower().split()
        chosen = [
            number
            for number, row in enumerate(self._rows)
            if all(word in f"{row.recording}\n{row.site}\n{row.outcome}".lower() for word in words)
        ]
        first = _first(query, RECORDINGS_AT_ONCE, len(chosen))
        return _html(
            fill_in(
                "serve_recordings.html",
                rows=[(n, self._rows[n]) for n in chosen[first : first + RECORDINGS_AT_ONCE]],
                outcomes=OUTCOME_WORDS,
                n=len(chosen),
                find=find,
                **_pages("/recordings", {"find": find}, first, RECORDINGS_AT_ONCE, len(chosen)),
            )
        )

    def _show_recording(self, number: int, query: Query) -> Reply:
        row = _at(self._rows, number)
        duration_s = row.duration_s or row.heard_s or 0.0
        last = int(max(0.0, duration_s - 1e-9) // STRETCH_S * STRETCH_S)
        begin_s = min(_whole(query, "at"), last)
        end_s = min(begin_s + STRETCH_S, duration_s)
        numbers = self._calls_of[row.recording]
        here = [self.calls[one] for one in numbers]
        return _html(
            fill_in(
                "serve_recording.html",
                top_hz=TOP_HZ,
                number=number,
                row=row,
                outcome=OUTCOME_WORDS[row.outcome],
                begin_s=begin_s,
                end_s=end_s,
                is_heard=end_s > begin_s,
                before=max(0, begin_s - int(STRETCH_S)) if begin_s else None,
                after=begin_s + int(STRETCH_S) if begin_s < last else None,
                marks=[one for one in here if one.start_s < end_s and one.end_s > begin_s],
                calls=[self._shown(one) for one in numbers],
            )
        )


def _at(some: Sequence[_One], number: int) -> _One:
    if number >= len(some):
        raise NotThere(str(number))
    return some[number]


def _whole(query: Query, name: str) -> int:
    """A number of a query, 0 for anything else."""
    value = query.get(name, "")
    return int(value) if re.fullmatch(r"\d{1,9}", value) else 0


def _first(query: Query, at_once: int, n: int) -> int:
    """The first of ``n`` things on the page that a query asks for; on the last page at most."""
    return min(_whole(query, "from"), max(0, n - 1) // at_once * at_once)


def _address(path: str, query: Query) -> str:
    return f"{path}?{urlencode({name: value for name, value in query.items() if value})}"


def _pages(path: str, query: Query, first: int, at_once: int, n: int) -> dict[str, object]:
    """Addresses of the pages before and after, empty at the ends, and which are shown."""
    before, after = first - at_once, first + at_once
    return {
        "before": _address(path, {**query, "from": str(before)}) if before >= 0 else "",
        "after": _address(path, {**query, "from": str(after)}) if after < n else "",
        "first": min(first + 1, n),
        "last": min(first + at_once, n),
    }


def _html(page: str) -> Reply:
    return Reply("text/html; charset=utf-8", page.encode())
