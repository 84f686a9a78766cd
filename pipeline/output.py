"""The output folder as a whole: made ready for a run, and shown as a page."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pipeline.options import UsageError, refusing, remark
from pipeline.storage import files
from pipeline.store import parts
from pipeline.store.ledger import Ledger
from pipeline.tables.read import run_file


@dataclass(frozen=True)
class Output:
    """An output folder.

    Attributes:
        folder: its path.
    """

    folder: str

    def __str__(self) -> str:
        return self.folder

    @property
    def page(self) -> str:
        """Where report.html lies."""
        return files.join(self.folder, "report.html")

    def ledger(self) -> Ledger:
        """Opens its ledger.

        Raises:
            UsageError: it is of version 0.1, which kept one for all recordings.
        """
        place = parts.ledger(self.folder)
        if files.list_folder(place, ".jsonl.gz"):
            raise UsageError(
                f"--output {self.folder}: version 0.1 wrote what lies there; give another folder, "
                f"or remove {place}, and all is counted again"
            )
        return Ledger(self.folder)

    def make_ready(self) -> None:
        """Makes sure that tables can be written.

        Raises:
            UsageError: the message says what to change.
        """
        self.ledger()
        if not files.exists(files.join(parts.ledger(self.folder), "made.json")):
            self._refuse_other_tables()  # else they are ours, even if a header is damaged
        probe = files.join(self.folder, ".writable")
        with refusing(OSError, about=f"--output {self.folder}: cannot write there: "):
            files.write_atomically(probe, [b""])
            files.delete_if_there(probe)

    def _refuse_other_tables(self) -> None:
        """Refuses to write over a counts.csv or calls.csv that no run has written."""
        for name in ("counts.csv", "calls.csv"):
            table = files.join(self.folder, name)
            with suppress(OSError):
                header = files.read_beginning(table).partition(b"\n")[0].split(b",")
                if not {b"recording", b"run_id"} <= set(header):
                    raise UsageError(
                        f"--output {self.folder}: {name} there is not from this program and would "
                        "be overwritten; give another folder"
                    )

    def delete_run_file(self) -> None:
        """Removes run.json: its absence means an unfinished run."""
        files.delete_if_there(run_file(self.folder))

    def make_page(self) -> str:
        """Makes report.html. Returns its name, or nothing: tables are worth more than the page."""
        try:
            from pipeline.report.page import write_page  # imports what a worker lacks

            return write_page(self.folder)
        except Exception as error:
            remark(f"no report ({error}); the tables are complete")
            return ""
