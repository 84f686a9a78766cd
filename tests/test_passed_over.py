"""What a search for recordings passes over, and that it says so."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from model.audio.recording import read_all
from pipeline.inputs import versions
from pipeline.options.paths import as_path, as_text, is_text
from pipeline.storage import files
from pipeline.storage.passed_over import below, in_words, kind_of

CARD = (
    "DATA/20240601_050000.WAV",
    "$RECYCLE.BIN/S-1-5-21-1/$RAB12CD.WAV",
    "DATA/20240602_050000.wac",
    "DATA/20240603_050000.w4v",
    "DATA/20240604_050000.wma",
    "DATA/data",
    "DATA/20240605_050000.WAV.part",
    "DATA/.20240606_050000.WAV.icloud",
)


def lay_out(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"RIFF")
    return folder


def search(pattern: object) -> tuple[list[str], Counter[str]]:
    others: Counter[str] = Counter()
    return files.expand(str(pattern), others), others


def test_a_card_as_it_comes(tmp_path: Path) -> None:
    card = lay_out(tmp_path / "card", *CARD)
    recordings, others = search(card)
    assert recordings == [f"{card}/{CARD[0]}"]
    what, *remedies = in_words(others)
    assert what.startswith("7 other files: 1 in $RECYCLE.BIN, 1 .icloud, 1 .part, 1 .w4v, 1 .wac")
    assert remedies[2] == (
        ".w4v, .wac: Wildlife Acoustics' own formats: Kaleidoscope, which is free, converts them "
        "to WAV"
    )
    assert len(remedies) == 4


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.WAV", ""),
        ("night 1/b.flac", ""),
        ("System Volume Information/x.wav", "System Volume Information/"),
        ("SYSTEM VOLUME INFORMATION/x.wav", "SYSTEM VOLUME INFORMATION/"),
        ("card/.Trashes/501/a.wav", ".Trashes/"),
        ("card/lost+found/a.wav", "lost+found/"),
        ("__MACOSX/._a.wav", "__MACOSX/"),
        ("._name.mp3", "._*"),
        (".DS_Store", "hidden"),
        (".a.wav", "hidden"),
        (".a.wav.icloud", ".icloud"),
        ("a.mp3.crdownload", ".crdownload"),
        ("a.part", ".part"),
        ("20240601", "without an ending"),
        ("notes.Dr. Who likes birds", "without an ending"),
        ("$RECYCLE.BIN.wav", ""),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_what_is_named_outright_is_meant(tmp_path: Path) -> None:
    card = lay_out(tmp_path / ".old" / "card", *CARD, "DATA/._20240601_050000.WAV")
    assert search(card)[1].total() == 8
    deleted = f"{card}/$RECYCLE.BIN"
    assert search(deleted)[0] == [f"{deleted}/S-1-5-21-1/$RAB12CD.WAV"]
    assert len(search(f"{card}/DATA/*.part")[0]) == 1
    recordings, others = search(f"{card}/*/*.WAV*")
    assert (len(recordings), others) == (1, Counter({".part": 1}))
    recordings, others = search(f"{card}/**/*.WAV")
    assert (len(recordings), others.total()) == (1, 0)  # nothing else was asked for
    assert search(f"{card}/*/*/*.WAV") == ([], Counter({"$RECYCLE.BIN/": 1}))
    assert below("gs://b/.old/x/.Trashes/a.wav", "gs://b/.old/**") == "x/.Trashes/a.wav"


def test_a_bucket_is_passed_over_likewise() -> None:
    others: Counter[str] = Counter()
    means = versions._meaning("gs://b/card/**", others)
    meant = [name for name in (f"gs://b/card/{name}" for name in (*CARD, "DATA/")) if means(name)]
    assert meant == [f"gs://b/card/{CARD[0]}"]
    assert (others.total(), others["$RECYCLE.BIN/"]) == (7, 1)


def test_nothing_is_said_of_nothing() -> None:
    assert in_words({}) == []
    many = {f".k{n}": n for n in range(1, 12)}
    assert in_words(many)[0].endswith(".k4, and 3 more kinds")


@pytest.mark.parametrize("pattern", ["{}", "{}/**", "{}/**/*.wav"])
def test_a_folder_that_cannot_be_listed_stops_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    lay_out(tmp_path, "a/1.wav", "locked/2.wav", "$RECYCLE.BIN/locked/3.wav")
    real = os.scandir

    def scandir(folder: str) -> object:
        if os.path.basename(folder) == "locked":
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(OSError, match=r"locked: this folder cannot be listed \(Permission denied"):
        search(pattern.format(tmp_path))


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.flac", "a.ogg"])
def test_what_a_mac_leaves_beside_a_recording_harms_it_not(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000)
    soundfile.write(tmp_path / name, noise, 48_000)
    # AppleDouble: magic, version, 16 bytes of filler, one entry.
    (tmp_path / f"._{name}").write_bytes(
        b"\x00\x05\x16\x07\x00\x02\x00\x00" + b"Mac OS X".ljust(16) + bytes(4000)
    )
    assert search(tmp_path) == ([f"{tmp_path}/{name}"], Counter({"._*": 1}))
    assert len(read_all(str(tmp_path / name))) == 16_000


def test_names_that_are_not_utf8_are_as_many_rows_as_files(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for raw in (rb"caf\udce9.mp3", b"caf\xe9.mp3", b"caf\xe8.mp3", b"b\xe9d/a.mp3"):
        os.makedirs(os.path.dirname(folder + b"/" + raw), exist_ok=True)
        with open(folder + b"/" + raw, "wb") as file:
            file.write(raw)
    recordings, _ = search(tmp_path)
    assert [name[len(str(tmp_path)) + 1 :] for name in recordings] == [
        r"b\udce9d/a.mp3",
        r"caf\\udce9.mp3",
        r"caf\udce8.mp3",
        r"caf\udce9.mp3",
    ]
    assert all(map(is_text, recordings))
    with files.open_to_read(recordings[3]) as path:
        assert Path(str(path)).read_bytes() == rb"caf\udce9.mp3"
    for name in recordings[:3]:
        with pytest.raises(Exception, match="not valid UTF-8; rename"), files.open_to_read(name):
            pass
        assert search(name)[0] == [name]  # given directly
    assert search(recordings[0].rpartition("/")[0])[0] == [recordings[0]]


@given(st.binary(min_size=1, max_size=12))
def test_any_name_is_a_text_that_leads_back(name: bytes) -> None:
    path = os.fsdecode(name.replace(b"\0", b"").replace(b"/", b"").replace(b"\\", b""))
    text = as_text(path)
    assert is_text(text)
    assert as_path(text) == path


def test_a_working_folder_that_is_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.fsencode(tmp_path) + b"/b\xe9d"
    os.mkdir(here)
    monkeypatch.chdir(os.fsdecode(here))
    assert files.identity("a.wav").endswith(r"b\udce9d/a.wav")
