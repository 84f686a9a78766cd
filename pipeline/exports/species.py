"""The bird's names, and where its voice lies."""

from __future__ import annotations

from dataclasses import dataclass

CALL_LOW_HZ, CALL_HIGH_HZ = 350, 1800
"""Range of a Capuchinbird's harmonics. The box around every call; no call is measured for it."""


@dataclass(frozen=True)
class Species:
    """A bird's names; the code is eBird's."""

    common: str
    scientific: str
    code: str


CAPUCHINBIRD = Species("Capuchinbird", "Perissocephalus tricolor", "capuch1")


def species_of(label: str) -> Species:
    """The bird of a model's label; a label of another bird becomes its common name."""
    names = "capuchin", "perissocephalus tricolor"
    is_ours = any(name in label.lower() for name in names)
    return CAPUCHINBIRD if is_ours else Species(label, "", "")
