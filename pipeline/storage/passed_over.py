"""Which files a search for recordings passes over, by their names, and what it says of them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from model.audio.recording import AUDIO_EXTENSIONS

SYSTEM_FOLDERS = frozenset(
    {
        "$recycle.bin",
        "recycler",
        "system volume information",
        "found.000",
        "lost+found",
        "__macosx",
        "@eadir",
        "#recycle",
    }
)
"""Folders that systems keep for themselves, in lower case; those that begin with a dot as well."""

_HIDDEN = "hidden"
_NO_ENDING = "without an ending"
_ENDING = re.compile(r"\.[a-z0-9!~]{1,10}")
_KINDS_SAID = 8

_UNFINISHED = ".part .partial .crdownload .download .filepart .opdownload"
_ELSEWHERE = ".icloud"
_DO = {
    "Wildlife Acoustics' own formats: Kaleidoscope, which is free, converts them to WAV": (
        ".wac .w4v .zc"
    ),
    "audio that is not read: convert it, for example with ffmpeg, to FLAC": (
        ".wma .ac3 .amr .ape .dsf .m4b .mka .mp2 .ra .tta .wv .avi .mkv .mov .webm"
    ),
    "not on this disk: have the Finder download them": _ELSEWHERE,
    "downloads or copies that were never finished: fetch them again": _UNFINISHED,
    "archives: unpack them": ".zip .7z .rar .tar .gz .tgz",
}
REMEDIES = {ending: words for words, endings in _DO.items() for ending in endings.split()}
"""What to do about files with these endings."""


def is_system_folder(name: str) -> bool:
    """Whether a search passes over a folder of this name, with all that lies in it."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def kind_of(path: str) -> str:
    """Why a file is passed over, in a word; empty for a recording.

    Args:
        path: below the folder that the search began in.

    >>> [kind_of(path) for path in ("a.WAV", "b/c.wac", "._a.wav", "$RECYCLE.BIN/a.wav", "data")]
    ['', '.wac', '._*', '$RECYCLE.BIN/', 'without an ending']
    """
    *folders, base = path.split("/")
    for folder in folders:
        if is_system_folder(folder):
            return f"{folder}/"
    ending = posixpath.splitext(base.lower())[1]
    if ending in REMEDIES and base != ending:
        return ending
    if base.startswith("."):
        return "._*" if base.startswith("._") else _HIDDEN
    if ending in AUDIO_EXTENSIONS:
        return ""
    return ending if _ENDING.fullmatch(ending) else _NO_ENDING


def is_put_aside(kind: str) -> bool:
    """Whether a kind is of files that are hidden, deleted or unfinished, whatever they hold."""
    return kind in ("._*", _HIDDEN, _ELSEWHERE, *_UNFINISHED.split()) or kind.endswith("/")


def below(name: str, pattern: str) -> str:
    """A name without the folders that a pattern names outright: those are meant.

    >>> below("gs://b/.old/x/.Trashes/a.wav", "gs://b/.old/**")
    'x/.Trashes/a.wav'
    """
    *folders, base = name.split("/")
    named = {*pattern.split("/"), ""}
    return "/".join([*(folder for folder in folders if folder not in named), base])


def in_words(kinds: Mapping[str, int]) -> list[str]:
    """What was passed over, and what to do about it, a line each; none if there was nothing.

    >>> in_words({".wac": 9, "$RECYCLE.BIN/": 1})[0]
    '10 other files: 9 .wac, 1 in $RECYCLE.BIN'
    """
    if not kinds:
        return []
    ordered = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    counted = [
        f"{n:,} in {kind[:-1]}" if kind.endswith("/") else f"{n:,} {kind}" for kind, n in ordered
    ]
    more = len(counted) - _KINDS_SAID
    counted[_KINDS_SAID:] = [f"and {more:,} more kinds"] if more > 0 else []
    n_all = sum(kinds.values())
    lines = [f"{n_all:,} other file{'' if n_all == 1 else 's'}: {', '.join(counted)}"]
    remedies: dict[str, list[str]] = {}
    for kind in sorted(kinds):
        if kind in REMEDIES:
            remedies.setdefault(REMEDIES[kind], []).append(kind)
    return lines + [f"{', '.join(some)}: {words}" for words, some in remedies.items()]
