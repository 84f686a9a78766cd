"""Make data for others of a run: a Camtrap DP package and a Darwin Core archive, as for GBIF.

``capuchinbird publish`` is another thing: it copies a model into a bucket.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.commands import add_labels
from pipeline.exports.publication.vocabulary import LICENCES, SAMPLING_DESIGNS
from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird publish-data",
        example="publish-data results --output package",
        description="Make a Camtrap DP package and a Darwin Core archive of a run: deployments "
        "with their effort, and the calls that people have confirmed. For example:"
        "\n  capuchinbird publish-data results --labels labels.csv --title 'Capuchinbirds of Saül' "
        "--author 'Ana Silva <ana@example.org>' --licence CC-BY-4.0",
    )
    first = result.add_argument_group("what most people need")
    add = first.add_argument
    add("run", metavar="RESULTS", help="output folder of a run, here or in a bucket (gs://)")
    add("--output", default="published", metavar="DIR", help="folder to make")
    add("--title", required=True, help="of the data set")
    add(
        "--author",
        required=True,
        action="append",
        metavar="'NAME <MAIL>'",
        help="who publishes; may be given several times, the first one is whom to ask",
    )
    add("--licence", required=True, choices=tuple(LICENCES), help="of the data; GBIF takes these")
    add_labels(add)
    add("--deployments", default="", metavar="FILE", help="sites and zones, as count takes them")
    add(
        "--unverified",
        action="store_true",
        help="publish calls that nobody has listened to as well, marked as unverified",
    )
    more = result.add_argument_group("what describes the data better")
    add = more.add_argument
    add("--description", default="", help="of the data set (default: how calls were found)")
    add("--organisation", default="", metavar="NAME", help="that holds the rights")
    add(
        "--design",
        choices=SAMPLING_DESIGNS,
        default="opportunistic",
        help="how sites were chosen, in Camtrap DP's words",
    )
    add("--uncertainty_m", type=int, metavar="METRES", help="of all positions")
    add("--country", default="", metavar="CODE", help="two letters, for example GF")
    return result


def main(argv: Sequence[str]) -> int:
    """Makes both. Returns 0; nothing that can be published: UsageError."""
    flags = parser().parse_args(argv)
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
    if flags.uncertainty_m is not None and flags.uncertainty_m < 1:
        raise UsageError(f"--uncertainty_m {flags.uncertainty_m}: must be at least 1")
    try:
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
        )
        survey = read_survey(flags.run, flags.deployments, flags.labels)
        data = data_set(survey, about, flags.unverified)
        package = files.join(flags.output, "camtrap_dp")
        for name, content in package_files(data):
            files.write_atomically(files.join(package, name), [content])
        packed = files.join(flags.output, "darwin_core.zip")
        files.write_atomically(packed, [archive(data)])
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    for line in data.left_out:
        print(f"capuchinbird publish-data: {line}", file=sys.stderr)
    n_verified = sum(finding.is_verified for finding in data.findings)
    n_recordings = sum(len(one.recordings) for one in data.deployments)
    print(
        f"{len(data.deployments):,} deployments, {n_recordings:,} recordings, "
        f"{len(data.findings):,} calls ({n_verified:,} confirmed by people)"
    )
    print(files.join(package, "datapackage.json"))
    print(packed)
    return 0
