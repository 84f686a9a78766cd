"""docs/verifying.md: from recordings to a verified count, by its commands as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.tables.read import read_verified
from tests.forest_labels import label_clips
from tests.test_first_day import Shell, clone, shell  # noqa: F401  (fixtures)

FINDINGS = Path(__file__).resolve().parents[1] / "docs" / "verifying.md"

pytestmark = pytest.mark.slow


def commands() -> Iterator[str]:
    """The commands of Count, Listen and Verify."""
    text = FINDINGS.read_text("utf-8")
    for title in ("1. Count", "2. Listen", "3. Verify"):
        section = text.split(f"## {title}\n")[1].split("\n## ")[0]
        yield from re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)


def test_from_the_forest_recordings_to_a_verified_count(
    forest: Path,
    clone: Path,  # noqa: F811
    shell: Shell,  # noqa: F811
    tmp_path: Path,
) -> None:
    home = re.findall(
        r"```bash\n(.*?)```", (FINDINGS.parent / "first-day.md").read_text("utf-8"), re.DOTALL
    )[0]
    shell(clone, home)  # capuchinbird, as the first day makes it
    (tmp_path / "forest").symlink_to(forest)
    count, listen, verify = commands()
    shell(tmp_path, count)
    assert "120 clips, seed 0: open results/review/review.html" in shell(tmp_path, listen)
    clips = tmp_path / "results/review/clips.csv"
    (tmp_path / "labels.csv").write_text(label_clips(clips, forest / "annotations.csv"), "utf-8")
    said = shell(tmp_path, verify)
    assert said.splitlines()[0].split() == [
        *("site", "counted", "precision", "recall", "calls", "calls", "an", "hour", "threshold")
    ]
    (overall,) = read_verified(str(tmp_path / "results"))
    assert overall.labelled == 120
    assert overall.verified_low <= 91 <= overall.verified_high  # as annotated
    assert overall.verified_high - overall.verified_low < 20
    assert overall.precision_low is not None
    assert overall.precision_low > 0.85
