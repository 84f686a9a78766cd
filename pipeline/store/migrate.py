"""Outputs of earlier versions: one ledger for all recordings becomes one for each part.

Each old file is removed when all of it lies in its parts, so that whoever was interrupted goes on
where they stopped, and doing it twice does no harm.
"""

from __future__ import annotations

from contextlib import suppress

from pipeline.storage import files
from pipeline.store import entries, parts
from pipeline.store.moves import Moves, read_moves, where_now
from pipeline.store.scores import open_scores, with_todays_names, write_table


def is_old(output: str) -> bool:
    """Whether an earlier version left files here that belong into parts."""
    return bool(_old_entries(output) or _old_scores(output) or _old_pieces(output))


def into_parts(output: str) -> None:
    """Moves what an earlier version left into its parts. One file at a time is in memory."""
    if not is_old(output):
        return
    for name in ("counts.parquet", "calls.parquet"):  # were files, and are folders now
        with suppress(IsADirectoryError, PermissionError):
            files.delete_if_there(files.join(output, name))
    moves = read_moves(parts.ledger(output))
    for name in _old_scores(output):
        _share_out_scores(output, name, moves)
        files.delete_if_there(name)
    for name in _old_entries(output):
        run_id = name.rpartition("/")[2].rpartition("-")[0]
        # Names as they were, so that later moves apply as before, in the parts of today.
        of_file = [entry for _, entry in entries.read_shard(name, ())]
        for entry in of_file if moves else ():
            today = where_now(entry.identity, entry.row.run_id, moves)
            parts.take_over(output, parts.part_of(today), parts.part_of(entry.identity), run_id)
        entries.write_shard(output, run_id, of_file)
        files.delete_if_there(name)
    # Tables of parts are made anew from their entries. Summaries go last: by them it is old.
    old = (*files.list_below(_old(output, "pieces"), ".csv"), *_old_pieces(output))
    for _ in files.read_ahead(files.delete_if_there, old):
        pass


def _old(output: str, folder: str) -> str:
    return files.join(parts.ledger(output), folder)


def _old_pieces(output: str) -> list[str]:
    return files.list_folder(_old(output, "summaries"), ".json")


def _old_entries(output: str) -> list[str]:
    return files.list_folder(parts.ledger(output), ".jsonl.gz")


def _old_scores(output: str) -> list[str]:
    return files.list_folder(files.join(output, "scores"), ".parquet")


def _share_out_scores(output: str, name: str, moves: Moves) -> None:
    file = open_scores(name)
    if not file:
        return
    table = file.read()
    run_id = name.rpartition("/")[2].rpartition("-")[0]
    today = with_todays_names(table, "identity", moves)["identity"].to_pylist()
    rows: dict[str, list[int]] = {}
    for number, identity in enumerate(today):
        rows.setdefault(parts.part_of(identity), []).append(number)
    for part, numbers in sorted(rows.items()):
        write_table(parts.scores_folder(output, part), run_id, table.take(numbers))
