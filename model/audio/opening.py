"""From a file to what decodes it: its layout, and the decoder of each recording in it."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import PurePath
from typing import IO, cast

import numpy as np
import soundfile

from model.audio.decoder_joined import JoinedDecoder
from model.audio.decoder_mp3 import Mp3Decoder
from model.audio.decoders import (
    UNKNOWN_FRAMES,
    USUAL_FRAMES_A_BYTE,
    AudioError,
    AudioInfo,
    DamageError,
    Decoder,
    DecoderMissingError,
    SndfileDecoder,
    check_header,
    size_of,
)
from model.audio.layout import Layout, layout_of
from model.audio.layout_base import Stream, View
from model.audio.seekable import Source


def open_decoder(
    source: str | os.PathLike[str] | IO[bytes], name: str, look: AudioInfo | None = None
) -> tuple[Decoder, AudioInfo]:
    """A decoder of a file, and what the file says of itself.

    Args:
        source: a path, or a binary file object that can seek.
        name: of the file in messages; its extension shows AAC.
        look: what an earlier look at the file has given.

    Raises:
        AudioError: it cannot be opened, or its header says what cannot be.
    """
    size = size_of(source, name)
    layout = None if (look and look.is_plain) or not size else _layout(source)
    if layout is None or layout.is_plain:
        decoder = _decoder(source, name)
        if layout is None or (layout.is_mp3 and not _is_mp3(decoder)):
            layout = Layout((), 0, size, False)
    else:
        decoder, layout = _laid_out(source, name, layout)
    info = decoder.info
    if layout.is_plain:
        info = _with_absent(info, layout.streams[0])
    try:
        check_header(info, size, name)
        if info.frames > size * USUAL_FRAMES_A_BYTE:
            present = look.frames if look else _count_frames(decoder)
            if look or info.frames == UNKNOWN_FRAMES:
                info = replace(info, frames=present)
            else:
                info = replace(info, absent_frames=max(0, info.frames - present))
    except AudioError:
        decoder.close()
        raise
    return decoder, replace(
        info,
        unaccounted_bytes=layout.unaccounted,
        remarks=" ".join(layout.remarks),
        is_plain=not isinstance(decoder, JoinedDecoder),
    )


def _layout(source: str | os.PathLike[str] | IO[bytes]) -> Layout | None:
    with closing(Source(source)) as opened:
        return layout_of(opened)


def _laid_out(
    source: str | os.PathLike[str] | IO[bytes], name: str, layout: Layout
) -> tuple[Decoder, Layout]:
    """A decoder of all recordings in a file, and the layout without those it cannot read."""
    opened = Source(source)
    decoders: list[Decoder] = []
    infos: list[AudioInfo] = []
    left_out = 0
    for stream in layout.streams:
        try:
            decoder = _decoder(cast(IO[bytes], View(opened, stream.pieces)), name)
        except DecoderMissingError:
            raise
        except AudioError:
            left_out += _bytes_of(stream)
            continue
        first = decoders[0].info if decoders else decoder.info
        form = decoder.info.sample_rate_hz, decoder.info.channels
        is_odd = form != (first.sample_rate_hz, first.channels)
        is_other = layout.is_mp3 and not _is_mp3(decoder)
        if is_odd or is_other or decoder.info.frames == UNKNOWN_FRAMES:
            decoder.close()
            left_out += _bytes_of(stream)
        else:
            decoders.append(decoder)
            infos.append(_with_absent(decoder.info, stream))
    if not decoders:  # not what it looks like: the decoder's word counts
        opened.close()
        return _decoder(source, name), Layout((), 0, layout.size, False)
    info = replace(
        infos[0],
        frames=sum(info.frames for info in infos),
        absent_frames=sum(info.absent_frames for info in infos),
    )
    joined = JoinedDecoder(decoders, info, opened.close)
    return joined, replace(layout, unaccounted=layout.unaccounted + left_out)


def _with_absent(info: AudioInfo, stream: Stream) -> AudioInfo:
    """With what the header promises behind the end of the sound, where no decoder says it."""
    if info.absent_frames or not stream.absent_bytes or not stream.sound_bytes:
        return info
    absent = round(info.frames * stream.absent_bytes / stream.sound_bytes)
    return replace(info, frames=info.frames + absent, absent_frames=absent)


def _bytes_of(stream: Stream) -> int:
    pieces = (piece for piece in stream.pieces if not isinstance(piece, bytes))
    return sum(end - first for first, end in pieces)


def _is_mp3(decoder: Decoder) -> bool:
    return isinstance(decoder, Mp3Decoder) or getattr(decoder, "is_mp3", False)


def _count_frames(decoder: Decoder) -> int:
    """How many frames can be decoded, for a header that says more than is usual in such a file.

    All of it is read, in ever smaller pieces before an error: libsndfile gives nothing of a read
    that meets one.
    """
    n_frames, piece = 0, np.empty((1 << 16, decoder.info.channels), np.float32)
    while len(piece):
        with suppress(soundfile.LibsndfileError, DamageError):
            decoder.start(n_frames)
            while n := decoder.read(piece):
                n_frames += n
            return n_frames
        piece = piece[: len(piece) // 2]
    return n_frames


def _decoder(source: str | os.PathLike[str] | IO[bytes], name: str) -> Decoder:
    extension = PurePath(name).suffix.lower()
    try:
        decoder = SndfileDecoder(source, name)
        if not decoder.is_mp3:
            return decoder
        try:
            indexed = Mp3Decoder(source, decoder.info)
        except LookupError:
            return decoder
        decoder.close()
        return indexed
    except soundfile.LibsndfileError as error:
        if size_of(source, name) == 0:
            raise AudioError(f"{name}: is empty (0 bytes); copy it again from its source") from None
        if extension in {".m4a", ".mp4", ".aac"}:
            return _open_with_av(source, name)
        reason = error.error_string.rstrip(".")
        if reason.startswith("File does not exist"):  # libsndfile's words for an MP3 without frames
            reason = "it is in no known format"
        raise AudioError(
            f"{name}: cannot be opened as audio ({reason}); "
            "check that it plays, or copy it again from its source"
        ) from None


def _open_with_av(source: str | os.PathLike[str] | IO[bytes], name: str) -> Decoder:
    try:
        from model.audio.decoder_av import AvDecoder
    except ImportError:
        command = f"{shlex.quote(sys.executable)} -m pip install av"
        raise DecoderMissingError(f"{name}: AAC needs one more package; run: {command}") from None
    try:
        return AvDecoder(source)
    except (OSError, ValueError) as error:
        raise AudioError(
            f"{name}: cannot be opened as audio ({error}); check that it plays"
        ) from None
