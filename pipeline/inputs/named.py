"""The recordings that a run names, listed before any job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import islice

from pipeline.inputs.deployments import read_deployments
from pipeline.inputs.manifests import (
    list_recordings,
    named_in,
    read_manifest,
    remarks,
)
from pipeline.inputs.times import parse_zone
from pipeline.inputs.versions import Listing, Others, list_pattern
from pipeline.options import Config, UsageError, refusing, remark
from pipeline.records import Listed
from pipeline.storage import files

MOST_OBJECTS = 5000
"""In a bucket at most so many recordings, or files of an output, are listed before a job: five
requests."""

_SAMPLED = 200


class NamedRecordings:
    """The recordings that patterns and manifests name.

    Attributes:
        config: names patterns and manifests.
        listings: recordings of patterns in buckets, where ``few`` listed them: no job asks again.
        remarks: on unused inputs, after ``check``.
        others: how many files ``few`` passed over, by kind.
        sample: some names, after ``check``; none where the job lists a bucket.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.remarks: list[str] = []
        self.listings: dict[str, Listing] = {}
        self.others: Others = Counter()
        self.sample: list[str] = []

    def check(self) -> int | None:
        """How many there are; None where only the job will know, for it lists a bucket.

        Raises:
            UsageError: a pattern, a manifest or a table that names nothing or cannot be read.
        """
        self._check_deployments()
        of_patterns = [name for one in self.config.inputs for name in self._check_pattern(one)]
        of_manifests = [name for one in self.config.manifests for name in self._check_manifest(one)]
        names: Collection[str] | None = dict.fromkeys([*of_patterns, *of_manifests])
        if any(pattern.startswith("gs://") for pattern in self.config.inputs):
            names = None
        self.say_remarks(names)
        if names is not None:
            self.sample = list(islice(names, 0, None, 1 + len(names) // _SAMPLED))
        return None if names is None else len(names)

    def say_remarks(self, names: Collection[str] | None) -> None:
        """Checks tables; keeps and prints remarks on unused inputs.

        Args:
            names: of all recordings, if known.
        """
        with refusing(OSError, ValueError):
            self.remarks = remarks(self.config, names)
        remark(*self.remarks)

    def few(self) -> list[Listed] | None:
        """All, completed and sorted by name; None if they are many, or something names nothing."""
        allow_empty = self.config.allow_empty
        listed: dict[str, Listing] = {}
        self.others = Counter()
        for pattern in self.config.inputs:
            at_most = None if files.is_local(pattern) else MOST_OBJECTS + 1
            others: Others = Counter()
            matched = list_pattern(pattern, others=others)
            listed[pattern] = Listing(islice(matched, at_most), others)
            self.others += others
            if len(listed[pattern]) == at_most or not (listed[pattern] or allow_empty):
                return None
            if at_most:
                self.listings[pattern] = listed[pattern]
        named = (any(True for _ in read_manifest(name)) for name in self.config.manifests)
        return list_recordings(self.config, listed) if allow_empty or all(named) else None

    def _check_deployments(self) -> None:
        """Refuses a deployment table or time zone that workers would stumble over."""
        with refusing(OSError, ValueError):
            if self.config.time_zone:
                parse_zone(self.config.time_zone)
            if self.config.deployments:
                read_deployments(self.config.deployments)

    def _check_pattern(self, pattern: str) -> list[str]:
        """Lists a pattern; of a bucket not listed yet it asks for one recording only."""
        matched = list_pattern(pattern, self.listings)
        if pattern.startswith("gs://"):
            matched = islice(matched, 1)
        with refusing(OSError, about=f"--input {pattern}: "):
            names = [files.identity(one.recording) for one in matched]
        if not names and not self.config.allow_empty:
            raise UsageError(f"--input {pattern}: {files.why_nothing(pattern)}")
        return names

    def _check_manifest(self, manifest: str) -> list[str]:
        with (
            refusing(ValueError, about="--manifest "),
            refusing(OSError, about=f"--manifest {manifest}: "),
        ):
            named = read_manifest(manifest) if self.config.allow_empty else named_in(manifest)
            names = list(map(files.identity, named))
        if not names and not self.config.allow_empty:
            raise UsageError(f"--manifest {manifest}: lists no recording")
        return names
