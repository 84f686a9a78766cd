"""An output's ledger, read: the entry that holds for each recording, wherever it lies today."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pipeline.options import UsageError
from pipeline.storage import files
from pipeline.store import parts
from pipeline.store.entries import Entry, current, read_shard
from pipeline.store.moves import Move, read_moves, where_now, write_moves
from pipeline.store.parts import PartFiles
from pipeline.store.scores import KeptSegment, files_of, read_of


class Ledger:
    """The ledger of an output, with the moves that it holds when it is opened.

    Attributes:
        output: the output folder.
        moves: all moves, in the order of their runs.
    """

    def __init__(self, output: str) -> None:
        self.output = output
        self.moves = read_moves(parts.ledger(output))

    def read(self, there: PartFiles) -> dict[str, Entry]:
        """The entry that holds for each recording of a part, by identity."""
        own = parts.entries_folder(self.output, there.part)
        of_recording: dict[str, list[Entry]] = {}
        for shard in there.entries:
            is_sure = not self.moves and shard.startswith(own)
            for identity, entry in read_shard(shard, self.moves):
                if is_sure or parts.part_of(identity) == there.part:
                    of_recording.setdefault(identity, []).append(entry)
        return {identity: current(some) for identity, some in sorted(of_recording.items())}

    def part(self, part: str) -> dict[str, Entry]:
        """Lists and reads a part."""
        return self.read(parts.look(self.output, part))

    def shards(self) -> list[str]:
        """All files with entries."""
        return sorted(files.list_below(parts.ledger(self.output), ".jsonl.gz"))

    def state(self) -> dict[str, Entry]:
        """The entry that holds for each recording, by identity: for a small output."""

        def read(shard: str) -> list[tuple[str, Entry]]:
            return list(read_shard(shard, self.moves))

        of_recording: dict[str, list[Entry]] = {}
        for some in files.read_ahead(read, self.shards()):
            for identity, entry in some:
                of_recording.setdefault(identity, []).append(entry)
        return {identity: current(some) for identity, some in sorted(of_recording.items())}

    def entries(self) -> Iterator[Entry]:
        """The entry that holds for each recording, part by part: for an output of any size."""
        for part in sorted(set(parts.all_parts(self.output))):
            yield from self.part(part).values()

    def scores(
        self, there: PartFiles, identities: Iterable[str], scoring: str
    ) -> dict[str, list[KeptSegment]]:
        """Kept scores of some of a part's recordings, by identity.

        Args:
            there: the part's files.
            identities: of the recordings.
            scoring: of the model and the windows, as a digest.
        """
        some = set(identities)
        segments: dict[str, list[KeptSegment]] = {}
        for name in files_of(self.output, there.sources) if some else ():
            for identity, segment in read_of(name, self.moves, some, scoring):
                segments.setdefault(identity, []).append(segment)
        return segments

    def new_moves(self, moved: Collection[tuple[str, str]], run_id: str) -> tuple[Move, ...]:
        """Of the moves that a run states, old folder and new, those that are not kept yet.

        Raises:
            UsageError: the output holds no recording below an old folder.
        """
        kept = {(move.old, move.new) for move in self.moves}
        left: set[str] = set()
        for entry in self.entries():
            left |= {old for old, _ in moved if entry.identity.startswith(f"{old}/")}
        for old, new in moved:
            if old not in left and (old, new) not in kept:
                raise UsageError(
                    f"--moved {old}={new}: --output {self.output} holds no recording below {old}"
                )
        return tuple(Move(run_id, old, new) for old, new in moved if old in left)

    def add_moves(self, moves: tuple[Move, ...]) -> None:
        """Keeps a run's moves, and notes for each part which others its recordings were in."""
        run_id = moves[0].run_id
        taken = set()
        for entry in self.entries():
            now = where_now(entry.identity, entry.row.run_id, moves)
            taken.add((parts.part_of(now), parts.part_of(entry.identity)))
        for part, older in sorted(taken):
            parts.take_over(self.output, part, older, run_id)
        write_moves(parts.ledger(self.output), run_id, [(move.old, move.new) for move in moves])
