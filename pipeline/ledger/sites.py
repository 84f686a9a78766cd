"""Sites and clocks as a person stated them: what later runs go by that state none.

A copy of the deployment table lies in the ledger, with full names of folders, beside the zone of
the recorders' clocks.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import asdict, replace
from typing import Any

from pipeline.inputs.deployments import KEPT_TABLE, rows_of_deployments
from pipeline.options import Config, UsageError
from pipeline.storage import files
from pipeline.storage.sealed import DamagedError, read_sealed, write_sealed
from pipeline.store import parts
from pipeline.store.moves import read_moves, where_now

NONE = "none"
"""What is stated to forget what was."""

_NOTHING: dict[str, Any] = {"table": "", "rows": [], "time_zone": ""}


def as_stated(config: Config) -> tuple[Config, str]:
    """What was asked for, with the sites and clocks of earlier runs where none are stated; and a
    line on that.

    Raises:
        UsageError: the sites that an earlier run kept cannot be read.
    """
    forgets = NONE in (config.deployments, config.time_zone)
    keeps_places = not (forgets or config.deployments or config.manifests)
    asked = replace(
        config,
        deployments=None if config.deployments == NONE else config.deployments,
        time_zone="" if config.time_zone == NONE else config.time_zone,
        keeps_places=keeps_places,
    )
    name = _newest(config.output)
    if not name or (config.deployments and config.time_zone):
        return asked, ""
    try:
        kept = read_sealed(name)
    except DamagedError as error:
        raise UsageError(f"{error}; state --deployments and --time-zone again, or none") from None
    said = []
    if kept["rows"] and config.deployments is None:
        asked = replace(asked, deployments=name)
        said.append(f"sites of {kept['table']}")
    if kept["time_zone"] and not config.time_zone:
        asked = replace(asked, time_zone=kept["time_zone"])
        said.append(f"clocks in {kept['time_zone']}")
    if not said:
        return asked, ""
    return asked, (
        f"{' and '.join(said)}, as an earlier run into this output was told; state --deployments "
        "and --time-zone to change that, or none to forget it"
    )


def keep(config: Config, run_id: str) -> None:
    """Keeps the sites and clocks that a run goes by for later runs, if they are not kept yet."""
    output, table = config.output, config.deployments
    newest = _newest(output)
    kept = read_sealed(newest) if newest else _NOTHING
    now = {**_NOTHING, "time_zone": config.time_zone}
    if table and table == newest:
        moves = read_moves(parts.ledger(output))
        before = posixpath.basename(newest).removesuffix(KEPT_TABLE)
        rows = [
            {**row, "folder": posixpath.dirname(where_now(f"{row['folder']}/x", before, moves))}
            for row in kept["rows"]
        ]
        now |= {"table": kept["table"], "rows": rows}
    elif table:
        name = os.path.abspath(table) if files.is_local(table) else table
        now |= {"table": name, "rows": list(map(asdict, rows_of_deployments(table)))}
    if now != kept:
        write_sealed(files.join(parts.ledger(output), run_id + KEPT_TABLE), now, copies=2)


def _newest(output: str) -> str:
    names = files.list_folder(parts.ledger(output), KEPT_TABLE)
    return names[-1] if names else ""
