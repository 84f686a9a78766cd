"""A run, resolved once: shared by counting, rescoring, planning and "nothing to do"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from model.contract import ServingContract
from pipeline.inference.count import Counting
from pipeline.inference.model_folder import check_model, current_version
from pipeline.inputs.named import NamedRecordings
from pipeline.ledger import drift
from pipeline.ledger.runs import RunNotes, as_chosen
from pipeline.ledger.sites import as_stated
from pipeline.options import Config, remark
from pipeline.output import Output
from pipeline.results.render import formats_in
from pipeline.results.run_report import RunReport, new_run_id


@dataclass(frozen=True)
class Run:
    """A run before it starts.

    Attributes:
        config: the flags; ``model`` names one version, the choice of an earlier rescoring holds
            where nothing is stated, and tables that lie in the output add their formats.
        started: when; names of runs sort by it, which the ledger relies on.
        contract: of the model.
        counting: how to count; ``counting.run_id`` names the run.
        recordings: those that the flags name.
        remark: what the run takes over from earlier ones, a line each; may be empty.
    """

    config: Config
    started: datetime
    contract: ServingContract
    counting: Counting
    recordings: NamedRecordings
    remark: str = ""

    @classmethod
    def of(
        cls, config: Config, contract: ServingContract, remark: str = "", run_id: str = ""
    ) -> Run:
        """A run that starts now; it gets a name of its own if none is stated."""
        started = datetime.now(UTC)
        counting = Counting.of(config, contract, run_id or new_run_id(started))
        return cls(config, started, contract, counting, NamedRecordings(config), remark)

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.counting.run_id

    @property
    def output(self) -> Output:
        """The output folder."""
        return Output(self.config.output)

    @property
    def notes(self) -> RunNotes:
        """What the run says to other runs."""
        return RunNotes(self.config.output, self.run_id)

    def say_remark(self) -> None:
        """Prints what the run takes over from earlier ones."""
        remark(*self.remark.splitlines())

    @property
    def report(self) -> RunReport:
        """What run.json begins with."""
        remarks = (*self.remark.splitlines(), *self.recordings.remarks)
        return RunReport(self.config, self.counting, self.contract, self.started, remarks=remarks)

    def reference(self) -> tuple[int, ...] | None:
        """Windows by score in tenths, as the model usually gives them; see ``drift``."""
        return drift.read_reference(self.config.model, self.counting.model_version)


def run_of(config: Config) -> Run:
    """The run of these flags.

    Raises:
        UsageError: no whole model is there, or none that this pipeline can feed.
    """
    model = current_version(config.model)
    contract = check_model(model)
    # Tables that lie in the output are kept up to date, or they would grow stale beside the others.
    formats = tuple(dict.fromkeys([*config.formats, *formats_in(config.output)]))
    config = replace(config, model=model, formats=formats)
    config, chosen = as_chosen(config, contract.model_version)
    config, placed = as_stated(config)
    return Run.of(config, contract, "\n".join(filter(None, (chosen, placed))))
