"""What marks of people mean: which are calls, and of which recording.

A mark whose meaning is not plain is kept apart: it makes a call neither right nor wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import takewhile
from pathlib import Path

from model.training.annotation_files import read_marked
from model.training.marks import AnnotationError, Mark, MarkedFile

_BIRD = {"capuchinbird", "capuchinbirds", "perissocephalus", "calfbird", "calfbirds", "capuch1"}
"""Words that name the Capuchinbird. A capuchin alone is one where nothing says monkey."""
_ITS_WORDS = {*_BIRD, "capuchin", "capuchins", "tricolor", "bird", "birds"}
_PLAIN = {
    *("call", "calls", "calling", "song", "songs", "sing", "sings", "singing", "moo", "moos"),
    *("mooing", "growl", "male", "males", "female", "adult", "lek", "chorus", "duet", "individual"),
    *("vocalization", "vocalisation", "near", "far", "close", "distant", "faint", "weak", "loud"),
    *("background", "foreground", "good", "clear", "first", "second", "third", "left", "right"),
    *("the", "a", "an", "of", "by", "in", "from", "and", "s"),
}
"""Words that say nothing of what called."""
_MONKEY = {
    *("monkey", "monkeys", "cebus", "sapajus", "primate", "mono", "monos", "macaco", "macacos"),
    *("singe", "weeper", "wedge", "capped", "tufted", "brown", "black", "white", "faced", "blond"),
    *("fronted", "headed", "bearded", "robust", "gracile", "olivaceus", "apella", "capucinus"),
}
_NO = {"no", "not", "non", "none", "without", "absent", "isn", "t", "never"}
_DOUBT = {
    *("?", "unsure", "uncertain", "maybe", "perhaps", "possible", "possibly", "probable", "check"),
    *("probably", "likely", "unknown", "unid", "unidentified", "doubtful", "cf", "tbd"),
}


class Meaning(Enum):
    """Of a label."""

    CALL = "a call"
    OTHER = "something else, or that there is no call"
    UNCLEAR = "neither is plain"


def meaning_of(label: str, names: Sequence[str] = ()) -> Meaning:
    """What a label means.

    Args:
        label: as somebody wrote it; several names are joined by ``; ``.
        names: labels that mean a call, in any case; by default those that name the Capuchinbird.

    >>> [meaning_of(label).name for label in ("Capuchinbird", "brown capuchin", "capuchin?", "")]
    ['CALL', 'OTHER', 'UNCLEAR', 'UNCLEAR']
    """
    parts = [part.strip() for part in label.split(";")]
    words = _words(label)
    if names:
        folded = {_folded(name) for name in names}
        if not folded.isdisjoint([_folded(label), *map(_folded, parts)]):
            return Meaning.CALL
        return Meaning.UNCLEAR if not words or words & _DOUBT else Meaning.OTHER
    meanings = [_of_part(part) for part in parts if part]
    if Meaning.CALL in meanings:
        others = (_words(part) for part in parts)
        doubts = any(meaning is Meaning.UNCLEAR for meaning in meanings)
        return (
            Meaning.UNCLEAR if doubts or any(w & (_DOUBT | _NO) for w in others) else Meaning.CALL
        )
    if Meaning.UNCLEAR in meanings or says_nothing(label) or len("".join(sorted(words))) < 3:
        return Meaning.UNCLEAR
    return Meaning.OTHER


def _of_part(part: str) -> Meaning | None:
    """What one name means; None if it does not speak of the bird."""
    words = _words(part)
    if not words & {*_BIRD, "capuchin", "capuchins"}:
        return None
    rest = words - _ITS_WORDS - _PLAIN
    if rest & _MONKEY and not words & _BIRD:
        return Meaning.OTHER
    if rest and rest <= _NO:
        return Meaning.OTHER
    return Meaning.UNCLEAR if rest else Meaning.CALL


def says_nothing(label: str) -> bool:
    """Whether a label names no kind of animal: ``call``, ``1``, ``x`` or nothing."""
    return _words(label) <= _PLAIN | _DOUBT | {"bird", "birds", "x", "sp", "label", "annotation"}


def _words(label: str) -> set[str]:
    """Words in lower case, and question marks; numbers say nothing."""
    words = re.findall(r"[^\W_]+|\?", _folded(label).replace("capuchin bird", "capuchinbird"))
    return {word for word in words if not word[0].isdecimal()}


def _folded(label: str) -> str:
    return " ".join(unicodedata.normalize("NFC", label).casefold().split())


def calls_and_unclear(
    marks: Iterable[Mark], names: Sequence[str] = ()
) -> tuple[list[Mark], list[Mark]]:
    """The marks that are calls, and those that may be.

    Args:
        marks: of all files that belong together.
        names: labels that mean a call, in any case. By default those that name the Capuchinbird if
            there are any, and every mark if all have one and the same label, one that names no
            other animal, or none.

    Raises:
        AnnotationError: no label means a call.
    """
    marks = list(marks)
    meanings = {label: meaning_of(label, names) for label in {mark.label for mark in marks}}
    calls = [mark for mark in marks if meanings[mark.label] is Meaning.CALL]
    if calls or not marks:
        return calls, [mark for mark in marks if meanings[mark.label] is Meaning.UNCLEAR]
    labels = sorted(meanings)
    is_one = len(labels) == 1 and says_nothing(labels[0]) and not _words(labels[0]) & _DOUBT
    if is_one and not names:
        return marks, []
    shown = ", ".join(repr(label) for label in labels[:5])
    raise AnnotationError(
        f"no annotation is labelled {', '.join(names) or 'Capuchinbird'}, but {shown}; say with "
        "--annotated_as which labels are calls"
    )


class Names:
    """Recordings by what files of annotations may call them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_upload: dict[str, list[str]] = defaultdict(list)
        for name in dict.fromkeys(names):
            base = _parts(name)[-1]
            self._by_name[base].append(name)
            self._by_stem[base.rpartition(".")[0] or base].append(name)
            self._by_upload[_as_uploaded(base)].append(name)

    def named(self, path: str) -> list[str]:
        """Those that a path may mean: of equal names, those in folders called most alike."""
        *_, base = parts = _parts(path)
        fitting = self._by_name.get(base) or self._by_upload.get(_as_uploaded(base)) or []
        return _most_alike(fitting, parts)

    def meant(self, recording: str, file: Path) -> list[str]:
        """Those that a mark is about: as it names them, or as its file is named after them."""
        return self.named(recording) if recording else self.of_file(file)

    def of_file(self, file: Path) -> list[str]:
        """Those that ``REC.wav.Table.1.selections.txt`` or ``REC.TextGrid`` is named after."""
        name = _parts(file.name)[-1]
        for at in reversed([match.start() for match in re.finditer(r"\.", name)]):
            for those in (self._by_name, self._by_stem):
                if fitting := those.get(name[:at]):
                    return _most_alike(fitting, [*_parts(str(file.parent)), name])
        return []


def _most_alike(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Those with the most folders in common, from the last one up, and of these the shortest."""

    def alike(name: str) -> tuple[int, bool]:
        folders = _parts(name)[:-1]
        pairs = zip(reversed(folders), reversed(parts[:-1]), strict=False)
        n = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return n, n == len(folders)

    if len(names) < 2:
        return list(names)
    most = max(map(alike, names))
    return [name for name in names if alike(name) == most]


def _parts(name: str) -> list[str]:
    parts = re.split(r"[/\\]+", unicodedata.normalize("NFC", name))
    return [part for part in parts if part not in ("", ".")] or [""]


def _as_uploaded(base: str) -> str:
    """How Label Studio calls a file that was uploaded to it."""
    return re.sub(r"[^-\w.]", "", base.strip().replace(" ", "_"))


def marks_in(
    folders: Iterable[Path], recordings: Sequence[str], passed_over: Container[str]
) -> dict[Path, MarkedFile]:
    """What is marked in the files of some folders, by file.

    Args:
        folders: those that do not exist hold nothing.
        recordings: their names. A file that names no recording must be named after one of them.
        passed_over: names of files that are something else.
    """
    files = {}
    names = Names(recordings)
    for folder in folders:
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if file.name in passed_over or not file.is_file():
                continue
            marked = read_marked(file)
            if marked and (names.of_file(file) or marked.names_recordings):
                files[file] = marked
    return files


@dataclass
class Listening:
    """What people heard in recordings.

    Attributes:
        calls: by recording that somebody heard in full; none where nothing is marked.
        unclear: marks there that may be calls or not.
        remarks: on what says nothing, a line each.
    """

    calls: dict[str, list[Mark]] = field(default_factory=dict)
    unclear: dict[str, list[Mark]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def calls_heard(
    paths: Iterable[Path],
    durations_s: Mapping[str, float | None],
    call_labels: Sequence[str] = (),
) -> Listening:
    """Calls in recordings that somebody heard in full: all that a file of annotations is about.

    Args:
        paths: the files.
        durations_s: of recordings by name; None if unknown.
        call_labels: see ``calls_and_unclear``.

    Raises:
        AnnotationError: a file that cannot be right, or labels of which none means a call.
    """
    files = {path: read_marked(path) for path in paths}
    names, listening = Names(durations_s), Listening()
    usable = {path: file for path, file in files.items() if file and not file.problem}
    every = [mark for file in usable.values() for mark in file.marks]
    calls, unclear = map(set, calls_and_unclear(every, call_labels))
    voices: dict[str, list[list[Mark]]] = defaultdict(list)
    for path, file in files.items():
        if file is None or file.problem:
            why = file.problem if file else "no program known here wrote it"
            listening.remarks.append(f"{path}: {why}")
            continue
        listening.remarks += [f"{path}: {remark}" for remark in file.remarks]
        of, several = _by_recording(path, file, names)
        if several:
            listening.remarks.append(
                f"{path}: {several[0]} is the name of {len(several[1])} recordings "
                f"({several[1][0]}, {several[1][1]}, …), and nothing says which; left out"
            )
        elif not of and not file.remarks:
            listening.remarks.append(f"{path}: names no recording there")
        for name, marks in of.items():
            duration_s = durations_s[name]
            late = [mark for mark in marks if duration_s and mark.start_s >= duration_s]
            if late:
                listening.remarks.append(
                    f"{path}: {late[0].start_s:g} s lies beyond the end of {name}, "
                    f"{duration_s:.1f} s; is it about another recording? left out"
                )
                continue
            listening.calls.setdefault(name, [])
            listening.unclear.setdefault(name, []).extend(m for m in marks if m in unclear)
            by_voice: dict[str, list[Mark]] = defaultdict(list)
            for mark in marks:
                if mark in calls:
                    by_voice[mark.voice].append(mark)
            voices[name] += by_voice.values()
    for name, those in voices.items():
        listening.calls[name] = each_once(those)
    listening.remarks += _remarks_on(listening, voices)
    return listening


def _by_recording(
    path: Path, file: MarkedFile, names: Names
) -> tuple[dict[str, list[Mark]], tuple[str, list[str]] | None]:
    """Marks by recording; and a name that several recordings have, with these."""
    of: dict[str, list[Mark]] = {}
    named = [(mark.recording, [mark]) for mark in file.marks]
    named += [(name, []) for name in file.unmarked]
    several = None
    for name, marks in named or [("", [])]:
        fitting = names.meant(name, path)
        if len(fitting) > 1:
            several = name or path.name, fitting
        elif fitting:
            of.setdefault(fitting[0], []).extend(marks)
    return of, several


def _remarks_on(listening: Listening, voices: Mapping[str, Sequence[Sequence[Mark]]]) -> list[str]:
    lines = []
    if doubts := [mark for marks in listening.unclear.values() for mark in marks]:
        labels = ", ".join(repr(label) for label in sorted({mark.label for mark in doubts})[:5])
        lines.append(
            f"{len(doubts):,} annotations may be calls or not, such as {labels}: neither yes nor "
            "no; say with --annotated_as which labels are calls"
        )
    marked = sum(len(marks) for of in voices.values() for marks in of)
    if n := marked - sum(map(len, listening.calls.values())):
        lines.append(
            f"{n:,} calls are marked more than once, by several people, in several formats or "
            "channels, and count once"
        )
    return lines


def each_once(voices: Sequence[Sequence[Mark]]) -> list[Mark]:
    """Calls that several files, people or channels have marked, each once.

    Two marks of different voices are one call if they overlap by half of the shorter one, the
    largest overlap first, and each mark is one of another voice at most. Two of one voice are two.
    """
    kept: list[Mark] = []
    for marks in voices:
        pairs = sorted(
            ((-share, n, k) for n, mark in enumerate(marks) for k, one in enumerate(kept)
             if (share := shared(mark, one)) >= 0.5)
        )  # fmt: skip
        same: dict[int, int] = {}
        for _, n, k in pairs:
            if n not in same and k not in same.values():
                same[n] = k
        for n, k in same.items():
            if kept[k].start_s == kept[k].end_s:  # a point: the other may say how long it was
                kept[k] = replace(marks[n], take=marks[n].take or kept[k].take)
        kept += [mark for n, mark in enumerate(marks) if n not in same]
    return sorted(kept, key=lambda mark: (mark.start_s, mark.end_s))


def shared(one: Mark, other: Mark) -> float:
    """Overlap of two marks as a share of the shorter one; a point inside is all of it."""
    both = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    shorter = min(one.end_s - one.start_s, other.end_s - other.start_s)
    return (both / shorter if shorter else 1.0) if both >= 0 else 0.0
