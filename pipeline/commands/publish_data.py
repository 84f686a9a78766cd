"""Make a Camtrap DP package and a Darwin Core archive of a run: deployments with their effort, and
the calls that people have confirmed.

``capuchinbird publish`` is another thing: it copies a model into a bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.commands import DEPLOYMENTS, LABELS, RESULTS
from pipeline.exports.publication.vocabulary import LICENCES, SAMPLING_DESIGNS
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.options.values import at_least

_MORE = "what describes the data better"


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    output: str = flag("folder to make", "DIR", default="published")
    title: str = flag("of the data set", "TITLE")
    author: tuple[str, ...] = flag(
        "who publishes; may be given several times, the first one is whom to ask", "'NAME <MAIL>'"
    )
    licence: str = flag("of the data; GBIF takes these", choices=tuple(LICENCES))
    labels: tuple[str, ...] = flag(LABELS, "FILE", default=())
    deployments: str = flag(DEPLOYMENTS, default="")
    unverified: bool = flag(
        "publish calls that nobody has listened to as well, marked as unverified", default=False
    )
    description: str = flag(
        "of the data set (default: how calls were found)", "TEXT", group=_MORE, default=""
    )
    organisation: str = flag("that holds the rights", "NAME", group=_MORE, default="")
    design: str = flag(
        "how sites were chosen, in Camtrap DP's words",
        choices=SAMPLING_DESIGNS,
        group=_MORE,
        default="opportunistic",
    )
    uncertainty_m: int | None = flag(
        "of all positions", "METRES", at_least(1), group=_MORE, default=None
    )
    generalise_m: int = flag(
        "hide the positions of sensitive sites: move them to the middle of squares of this side",
        "METRES",
        at_least(0),
        group=_MORE,
        default=0,
    )
    country: str = flag("two letters, for example GF", "CODE", group=_MORE, default="")


COMMAND = Command(
    "publish-data",
    Flags,
    __doc__,
    (
        "publish-data results --labels labels.csv --title 'Capuchinbirds of Saül' "
        "--author 'Ana Silva <ana@example.org>' --licence CC-BY-4.0",
    ),
)


def main(argv: Sequence[str]) -> None:
    """Makes both. UsageError: nothing that can be published."""
    flags = COMMAND.parse(argv)
    from pipeline.exports.publication.camtrap_dp import package_files
    from pipeline.exports.publication.darwin_core import archive
    from pipeline.exports.publication.dataset import About, Person, data_set
    from pipeline.storage import files
    from pipeline.survey.findings import read_survey

    if not flags.labels and not flags.unverified:
        raise UsageError(
            "only calls that people have confirmed are published: name their labels.csv with "
            "--labels, or say --unverified"
        )
    with refusing(OSError, ValueError):
        about = About(
            title=flags.title,
            authors=tuple(map(Person.parse, flags.author)),
            licence=flags.licence,
            created=datetime.now(UTC).replace(microsecond=0),
            description=flags.description,
            organisation=flags.organisation,
            design=flags.design,
            uncertainty_m=flags.uncertainty_m,
            country=flags.country,
            generalise_m=flags.generalise_m,
        )
        survey = read_survey(flags.run, flags.deployments, flags.labels)
        data = data_set(survey, about, flags.unverified)
        package = files.join(flags.output, "camtrap_dp")
        for name, content in package_files(data):
            files.write_atomically(files.join(package, name), [content])
        packed = files.join(flags.output, "darwin_core.zip")
        files.write_atomically(packed, [archive(data)])
    COMMAND.remark(*data.left_out)
    n_verified = sum(finding.is_verified for finding in data.findings)
    n_recordings = sum(len(one.recordings) for one in data.deployments)
    say(
        f"{len(data.deployments):,} deployments, {n_recordings:,} recordings, "
        f"{len(data.findings):,} calls ({n_verified:,} confirmed by people)\n"
        f"{files.join(package, 'datapackage.json')}\n{packed}",
        camtrap_dp=package,
        darwin_core=packed,
        deployments=len(data.deployments),
        recordings=n_recordings,
        calls=len(data.findings),
        confirmed=n_verified,
    )
